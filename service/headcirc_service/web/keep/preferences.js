// What a person chose on the page's controls, kept for the next visit: by the ids of the fields.

import { byId } from "../page.js";

const FIELDS = ["list-sort", "show-edge", "show-ellipse", "show-axes", "blend"];

/** Set the fields as they were kept, and keep each change. */
export function keepPreferences(keeper) {
  const { fields = {} } = keeper.settings;
  for (const id of FIELDS) {
    const field = byId(id);
    const name = field.type === "checkbox" ? "checked" : "value";
    if (id in fields) {
      field[name] = fields[id];
      for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
    }
    field.addEventListener("change", () => {
      keeper.set({ fields: { ...keeper.settings.fields, [id]: field[name] } });
    });
  }
}
