// Keeps the worklist in the browser while it changes, and gives it back after a reload or a crash.

import { openStore, StoreError } from "./store.js";
import { toItem, toRecord } from "./records.js";

const SETTINGS_KEY = "page";
const CHANNEL = "headcirc-keep"; // to other tabs with this page
const WIPED = "wiped";
const NOT_KEPT = "This browser does not keep the list, or has no more room for it: a reload loses what is new.";
const NOT_DELETED = "This browser did not delete what it keeps: file names, results and images may still be on this computer. Try again, or delete the data of this page in the browser’s settings.";

export class Keeper extends EventTarget {
  settings = { keepImages: false };
  fault = ""; // why nothing, or nothing more, is kept
  wipeFault = ""; // what it means that something could not be deleted
  #worklist;
  #store = null;
  #written = new Map(); // key of an item: its properties as they were written
  #images = new Set(); // keys of items whose image is kept
  #unkept = new WeakSet(); // files that the browser could not keep
  #writing = Promise.resolve();
  #isAsked = false; // for a write after the one that runs
  #otherTabs = null;

  constructor(worklist) {
    super();
    this.#worklist = worklist;
  }

  /** Read what an earlier visit kept, give it to the worklist, and keep what changes from now on. */
  async begin() {
    try {
      this.#store = await openStore();
      this.settings = { ...this.settings, ...await this.#store.read("settings", SETTINGS_KEY) };
      this.#worklist.restore(await this.#readItems());
    } catch (error) {
      this.#fail(error);
    }
    this.#worklist.addEventListener("change", () => this.#changed());
    this.#otherTabs = new BroadcastChannel(CHANNEL);
    this.#otherTabs.addEventListener("message", ({ data }) => data === WIPED && this.#wipedElsewhere());
    this.#changed();
  }

  /** Whether closing the page now would lose something that a person would miss. */
  get wouldLose() {
    const { items } = this.#worklist;
    if (!this.#store || this.fault) return items.length > 0;
    return items.some((item) => !["measured", "failed", "missing"].includes(item.state) && !this.#images.has(item.key));
  }

  get isEmpty() {
    return !this.#written.size && !this.settings.keepImages && !this.wipeFault;
  }

  async set(settings) {
    this.settings = { ...this.settings, ...settings };
    await this.#try((store) => store.write({ puts: [["settings", SETTINGS_KEY, this.settings]] }));
    if (settings.keepImages === false && await this.#wipe(["images"])) this.#images.clear();
    if (settings.keepImages) globalThis.navigator.storage?.persist?.(); // asked for room that the browser does not take back
    await this.#changed();
  }

  /** Delete all that this browser keeps of the page. */
  async wipe() {
    await this.#writing;
    if (await this.#wipe()) {
      this.#written.clear();
      this.#images.clear();
      this.settings = { keepImages: false };
      this.#otherTabs?.postMessage(WIPED);
    }
    this.#tell();
  }

  /** Delete all of some kinds; whether that succeeded. */
  async #wipe(kinds) {
    try {
      await this.#store?.wipe(kinds);
      this.wipeFault = "";
      return true;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.wipeFault = NOT_DELETED;
      return false;
    }
  }

  /** Another tab deleted everything: what this one still shows would be kept again with its next change. */
  #wipedElsewhere() {
    this.settings = { keepImages: false };
    this.#worklist.forget(); // and what this tab wrote meanwhile is deleted
    this.#tell();
  }

  /** Write what has changed, at once; what changes while that is written is written together after it. */
  #changed() {
    if (this.#isAsked) return this.#writing;
    this.#isAsked = true;
    this.#writing = this.#writing.then(() => {
      this.#isAsked = false;
      return this.#write();
    });
    return this.#writing;
  }

  async #readItems() {
    const records = (await this.#store.readAll("items")).map(([, record]) => record);
    const images = new Map(await this.#store.readAll("images"));
    records.sort((a, b) => a.position - b.position);
    this.#images = new Set(images.keys());
    return records.map((record) => toItem(record, images.get(record.key)));
  }

  async #write() {
    const { items } = this.#worklist;
    const keys = new Set(items.map((item) => item.key));
    const gone = [...this.#written.keys(), ...this.#images].filter((key) => !keys.has(key));
    const now = items.map((item, position) => [item.key, { ...item, position }, item]);
    const changed = now.filter(([key, state]) => !isEqual(state, this.#written.get(key)));
    await this.#try((store) => store.write({
      puts: changed.map(([key, { position }, item]) => ["items", key, toRecord(item, position)]),
      deletes: gone.flatMap((key) => [["items", key], ["images", key]]),
    }));
    for (const key of gone) this.#forget(key);
    for (const [key, state] of changed) this.#written.set(key, state);
    if (this.settings.keepImages && this.#store) await this.#writeImages(items);
    this.#tell();
  }

  /** One image at a time: one that no longer fits, or that was changed on the disk, takes no other with it. */
  async #writeImages(items) {
    for (const { key, file } of items) {
      if (!file || this.#images.has(key) || this.#unkept.has(file) || this.fault) continue;
      try {
        await this.#store.write({ puts: [["images", key, file]] });
        this.#images.add(key);
      } catch (error) {
        this.#unkept.add(file);
        if (error.isFull || !(error instanceof StoreError)) this.#fail(error);
      }
    }
  }

  #forget(key) {
    this.#written.delete(key);
    this.#images.delete(key);
  }

  async #try(act) {
    try {
      if (this.#store) await act(this.#store);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error) {
    if (!(error instanceof StoreError)) throw error;
    this.fault = NOT_KEPT;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}

function isEqual(a, b) {
  return b !== undefined && Object.keys(a).length === Object.keys(b).length
    && Object.entries(a).every(([name, value]) => Object.is(value, b[name]));
}
