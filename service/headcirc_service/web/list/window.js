// Which rows of a long list are drawn: those in sight and a few beside them. Rows differ in height.

const MARGIN_ROWS = 8;
const MOST_WHOLE = 40; // a list as short as this is drawn whole

/**
 * The rows to draw, `first` to before `last`, and the heights that stand for those `before` and `after` them.
 *
 * `heights` has each row's height in pixels; `top` and `height` are those of the part in sight.
 */
export function toWindow(heights, { top, height }) {
  if (heights.length <= MOST_WHOLE) return { first: 0, last: heights.length, before: 0, after: 0 };
  const total = sum(heights);
  const reached = Math.max(0, Math.min(top, total - height)); // a filter may have shortened the list
  const seenFirst = countWithin(heights, reached);
  const seenLast = countWithin(heights, reached + height) + 1;
  const first = Math.max(0, seenFirst - MARGIN_ROWS);
  const last = Math.min(heights.length, seenLast + MARGIN_ROWS);
  return { first, last, before: sum(heights.slice(0, first)), after: sum(heights.slice(last)) };
}

/** Where the list must begin so that a row is in sight; `top` where it is. */
export function toTopOf(heights, index, { top, height }) {
  const start = sum(heights.slice(0, index));
  const end = start + heights[index];
  if (start < top) return start;
  return end > top + height ? end - height : top;
}

/** How many rows end above a place. */
function countWithin(heights, place) {
  let end = 0;
  for (const [i, each] of heights.entries()) {
    end += each;
    if (end > place) return i;
  }
  return heights.length;
}

function sum(values) {
  return values.reduce((total, each) => total + each, 0);
}
