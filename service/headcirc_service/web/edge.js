// A mask picture to the line round it: along the borders between pixels, so that it neither adds
// to the head nor takes from it.

const MOST_PIXELS = 4e6;
/** Larger masks are traced at a coarser step; the screen shows no more. */

export async function traceMask(blob) {
  const picture = await createImageBitmap(blob);
  const step = Math.max(1, Math.sqrt((picture.width * picture.height) / MOST_PIXELS));
  const width = Math.round(picture.width / step);
  const height = Math.round(picture.height / step);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, width, height);
  picture.close();
  const { data } = context.getImageData(0, 0, width, height);
  const isHead = (x, y) =>
    x >= 0 && y >= 0 && x < width && y < height && data[4 * (y * width + x)] > 127;
  const across = toRuns(height + 1, width, (line, x) => isHead(x, line - 1) !== isHead(x, line));
  const down = toRuns(width + 1, height, (line, y) => isHead(line - 1, y) !== isHead(line, y));
  // Pixel centres lie at integers, so that borders lie at halves.
  const at = (index) => +(index * step - 0.5).toFixed(2);
  return [
    ...across.map(([y, from, to]) => `M${at(from)} ${at(y)}H${at(to)}`),
    ...down.map(([x, from, to]) => `M${at(x)} ${at(from)}V${at(to)}`),
  ].join("");
}

/** Where a border runs along each line: [line, from, to]. */
function toRuns(lines, length, isBorder) {
  const runs = [];
  for (let line = 0; line < lines; line += 1) {
    let from = -1;
    for (let place = 0; place <= length; place += 1) {
      const border = place < length && isBorder(line, place);
      if (border && from < 0) from = place;
      if (!border && from >= 0) {
        runs.push([line, from, place]);
        from = -1;
      }
    }
  }
  return runs;
}
