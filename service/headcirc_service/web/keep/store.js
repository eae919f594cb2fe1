// What this browser keeps of the page: an IndexedDB with items, images and settings. It knows nothing of what they mean.

const NAME = "headcirc";
const VERSION = 1;
const STORES = ["items", "images", "settings"];

/** The browser keeps nothing, or nothing more: it is forbidden, or there is no room. */
export class StoreError extends Error {
  constructor(error) {
    super(error?.message ?? "The browser refused to keep it.");
    this.isFull = error?.name === "QuotaExceededError";
  }
}

/** Open the store; `StoreError` where the browser has none. */
export async function openStore(factory = globalThis.indexedDB) {
  if (!factory) throw new StoreError({ message: "This browser keeps nothing for pages." });
  const request = guard(() => factory.open(NAME, VERSION));
  request.onupgradeneeded = () => {
    for (const name of STORES) request.result.createObjectStore(name);
  };
  const database = await toPromise(request);
  database.onversionchange = () => database.close(); // a newer page wants it
  return new Store(database);
}

class Store {
  #database;

  constructor(database) {
    this.#database = database;
  }

  /** All of one kind: [[key, value], …]. */
  async readAll(kind) {
    const [objects] = this.#begin([kind], "readonly");
    const [keys, values] = await Promise.all([toPromise(objects.getAllKeys()), toPromise(objects.getAll())]);
    return keys.map((key, i) => [key, values[i]]);
  }

  async read(kind, key) {
    const [objects] = this.#begin([kind], "readonly");
    return toPromise(objects.get(key));
  }

  /** Write and delete together, or not at all: `puts` as [kind, key, value], `deletes` as [kind, key]. */
  async write({ puts = [], deletes = [] }) {
    const [, transaction] = this.#begin(STORES, "readwrite");
    guard(() => puts.forEach(([kind, key, value]) => transaction.objectStore(kind).put(value, key)));
    for (const [kind, key] of deletes) transaction.objectStore(kind).delete(key);
    await toDone(transaction);
  }

  /** Delete all of some kinds; of all by default. */
  async wipe(kinds = STORES) {
    const [, transaction] = this.#begin(kinds, "readwrite");
    for (const kind of kinds) transaction.objectStore(kind).clear();
    await toDone(transaction);
  }

  #begin(kinds, mode) {
    const transaction = guard(() => this.#database.transaction(kinds, mode));
    return [transaction.objectStore(kinds[0]), transaction];
  }
}

function guard(act) {
  try {
    return act();
  } catch (error) {
    throw new StoreError(error);
  }
}

function toPromise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(new StoreError(request.error));
    request.onblocked = () => reject(new StoreError({ message: "Another tab holds an older version of this page open." }));
  });
}

function toDone(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(new StoreError(transaction.error));
  });
}
