// The picture around a point, enlarged, so that a finger or a pointer hides nothing. It shows the stage's own
// layers a second time, so nothing is decoded twice.

import { makeShape } from "./marks.js";

const SEEN_PX = 24; // the frame's pixels across the loupe at the stage's first zoom
const SHOWN = ["draw-base", "draw-tool"];

export class Loupe {
  #box = document.getElementById("loupe");
  #canvas = document.getElementById("loupe-canvas");
  #stage = document.getElementById("stage");

  constructor() {
    this.#canvas.replaceChildren( // each tool has a loupe, and the page one place for it
      ...SHOWN.map((id) => makeShape("use", { href: `#${id}` })),
      makeShape("path", { class: "aim", "vector-effect": "non-scaling-stroke" }),
    );
  }

  /** Show the picture around a point of the frame; `at` is where it is on the screen. */
  show(point, at, scale) {
    this.#box.hidden = false;
    const seen = Math.max(8, SEEN_PX / Math.max(1, scale / 2));
    const [x, y] = [point.x - seen / 2, point.y - seen / 2];
    this.#canvas.setAttribute("viewBox", `${x} ${y} ${seen} ${seen}`);
    const arm = seen / 5;
    this.#canvas.querySelector(".aim").setAttribute(
      "d",
      `M${point.x - arm} ${point.y}h${arm * 0.7}M${point.x + arm} ${point.y}h${-arm * 0.7}`
        + `M${point.x} ${point.y - arm}v${arm * 0.7}M${point.x} ${point.y + arm}v${-arm * 0.7}`,
    );
    const { left, width } = this.#stage.getBoundingClientRect();
    this.#box.classList.toggle("left", at.x > left + width / 2);
  }

  hide() {
    this.#box.hidden = true;
  }
}
