// A viewer that shows this page in a frame: it hands images in, and gets results out. Only origins that the service
// names (HEADCIRC_EMBED_ORIGINS) are heard, and only from the window that holds the frame.

import { readRequest, RequestError, toAnswer, VERSION } from "./messages.js";

export const isEmbedded = window.parent !== window;

export class Host {
  #origins; // a promise: messages that come before it are kept waiting
  #worklist;
  #asked = []; // {item, request, origin, told}: told is the answer that the viewer has

  /** `origins` is a promise of the allowed ones. */
  constructor(worklist, origins) {
    [this.#worklist, this.#origins] = [worklist, origins];
    addEventListener("message", (event) => this.#hear(event));
    worklist.addEventListener("change", () => this.#tellChanges());
  }

  async #hear({ source, origin, data }) {
    if (source !== window.parent || data?.headcirc !== VERSION) return;
    if (!(await this.#origins).includes(origin)) return;
    try {
      this.#act(readRequest(data), origin);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      const problem = { code: "invalid-message", detail: error.message };
      this.#send({ event: "failed", request: data.request, problem }, origin);
    }
  }

  #act(asked, origin) {
    if (asked.action === "hello") return this.#send({ event: "ready", request: asked.request }, origin);
    const { file, pixelSize, ageDays, request } = asked;
    const [item] = this.#worklist.add([file], { pixelSize, ageDays });
    this.#asked.push({ item, request, origin, told: null });
    this.#tellChanges();
  }

  /** The answer of each image, and again whenever a person changed it: its pixel size, its ellipse. */
  #tellChanges() {
    this.#asked = this.#asked.filter(({ item }) => this.#worklist.items.includes(item));
    for (const each of this.#asked) {
      const answer = each.item.analysis ?? each.item.problem;
      if (!answer || answer === each.told) continue;
      each.told = answer;
      this.#send({ ...toAnswer(each.item), request: each.request }, each.origin);
    }
  }

  #send(message, origin) {
    window.parent.postMessage({ headcirc: VERSION, ...message }, origin);
  }
}
