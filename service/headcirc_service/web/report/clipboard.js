// Text to the clipboard, also where the page is not served over HTTPS and browsers offer the old way only.

export async function copyText(text) {
  if (globalThis.navigator.clipboard) {
    try {
      await globalThis.navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed; perhaps the old way is.
    }
  }
  const [before, field] = [document.activeElement, document.createElement("textarea")];
  field.value = text;
  field.className = "sight-off";
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  before?.focus();
  return isDone;
}
