// The gestational age that a person states, and the growth chart with the head's place in it.

import { Problem, readKept } from "./api.js";
import { toCounted } from "./versions.js";
import { toAgeCode, toAgeSource, toAgeText, toChartName } from "./words.js";

const DAYS_PER_WEEK = 7;
const [LEAST_DAYS, MOST_DAYS] = [1, 330];
const byId = (id) => document.getElementById(id);

/** Weeks and days as they are typed: a number of days, null for nothing, undefined for what is no age. */
export function toAgeDays(weeks, days) {
  const typed = [weeks, days].map((text) => text.trim());
  if (typed.every((text) => !text)) return null;
  if (!typed.every((text) => /^\d*$/.test(text)) || Number(typed[1]) >= DAYS_PER_WEEK) return undefined;
  const age = DAYS_PER_WEEK * Number(typed[0]) + Number(typed[1]);
  return age >= LEAST_DAYS && age <= MOST_DAYS ? age : undefined;
}

/** Rows of figures: the age that was stated, and where each measure stands at that age. */
export function toGrowthRows({ gestational_age: dated, growth }) {
  const rows = Object.entries(dated ?? {}).map(([chart, age]) => [toChartName(chart), age && (age.text ?? toAgeCode(age.code))]);
  if (!growth) return rows;
  const age = `${toAgeText(growth.gestational_age_days)}, ${toAgeSource(growth.gestational_age_source)}`;
  const figures = [["HC", growth.head_circumference], ["BPD", growth.biparietal_diameter], ["OFD", growth.occipitofrontal_diameter]];
  return [
    ...rows,
    ["Stated gestational age", age],
    ...figures.map(([name, figure]) => [`${name} for this age`, figure && toFigure(figure)]),
    ...(growth.code ? [["Growth standard", toAgeCode(growth.code)]] : []),
  ];
}

function toFigure({ z_score: z, centile }) {
  return `centile ${centile.toFixed(1)}, z ${z < 0 ? "−" : "+"}${Math.abs(z).toFixed(2)}`;
}

/** The field of the age, which holds for the selected image or for all. */
export class AgeForm {
  #item = null;
  #shown = undefined;

  /** `onApply(days or null, isForAll)`. */
  constructor({ onApply }) {
    byId("age-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply(onApply, false);
    });
    byId("age-all").addEventListener("click", () => this.#apply(onApply, true));
  }

  show(item, items) {
    byId("age-form").hidden = !item;
    byId("age-all").hidden = items.length < 2;
    const known = item?.ageDays ?? null;
    if (item === this.#item && known === this.#shown) return; // what is being typed stays
    [this.#item, this.#shown] = [item, known];
    byId("age-weeks").value = known === null ? "" : Math.floor(known / DAYS_PER_WEEK);
    byId("age-days").value = known === null ? "" : known % DAYS_PER_WEEK;
    this.#tell("");
  }

  #apply(onApply, isForAll) {
    const days = toAgeDays(byId("age-weeks").value, byId("age-days").value);
    this.#tell(days === undefined ? "Write whole weeks, and days from 0 to 6, such as 20 and 3; or nothing." : "");
    if (days === undefined) byId("age-weeks").focus();
    else onApply(days, isForAll);
  }

  #tell(sentence) {
    for (const part of ["weeks", "days"]) byId(`age-${part}`).setAttribute("aria-invalid", Boolean(sentence));
    byId("age-fault").textContent = sentence;
    byId("age-fault").hidden = !sentence;
  }
}

/** The chart that the service draws, shown as a picture. */
export class GrowthChart {
  #shown = null;
  #url = null;

  constructor() {
    const dialog = byId("growth-dialog");
    byId("growth-chart").addEventListener("click", () => {
      byId("growth-large").src = this.#url;
      byId("growth-large").alt = byId("growth-picture").alt;
      dialog.showModal();
    });
    byId("growth-close").addEventListener("click", () => dialog.close());
  }

  /** Show the chart of an item's analysis, if there is one. */
  async show(item) {
    const analysis = item?.analysis ?? null;
    if (analysis === this.#shown) return;
    this.#shown = analysis;
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = null;
    byId("growth-chart").hidden = true;
    const path = analysis?.links.growth_svg;
    byId("save-growth").hidden = !path;
    if (!path) return;
    let drawing;
    try {
      drawing = await readKept(item, path);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      return; // the figures stand without it
    }
    if (analysis !== this.#shown) return;
    this.#url = URL.createObjectURL(drawing);
    byId("growth-picture").src = this.#url;
    byId("growth-picture").alt = toDescription(toCounted(analysis));
    byId("growth-chart").hidden = false;
  }
}

function toDescription({ head, growth }) {
  const at = `HC ${head.head_circumference_mm.toFixed(1)} mm at ${toAgeText(growth.gestational_age_days)}`;
  const figure = growth.head_circumference;
  return `Growth chart: ${at}${figure ? `, ${toFigure(figure)}` : ""}.`;
}
