// The stage as it is seen, as one picture in the frame's own pixels, with its caption below.

const USUAL_WIDTH_PX = 800; // at which lines are as wide as on the screen
const TEXT_PX = 16;
const [GROUND, TEXT] = ["#0a1116", "#f1f6f8"];

/** Draw what an SVG shows; `size` is the frame's, `sentences` stand below. Return a PNG. */
export async function drawStage(svg, size, sentences) {
  const scale = Math.max(1, size.width / USUAL_WIDTH_PX);
  const pictures = await loadPictures(svg);
  const canvas = Object.assign(document.createElement("canvas"), size);
  const context = canvas.getContext("2d");
  const font = `${TEXT_PX * scale}px sans-serif`;
  context.font = font;
  const lines = sentences.flatMap((sentence) => wrap(context, sentence, size.width - 2 * TEXT_PX * scale));
  canvas.height += (lines.length * 1.4 + 1) * TEXT_PX * scale; // which forgets the font
  context.fillStyle = GROUND;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.save();
  context.beginPath();
  context.rect(0, 0, size.width, size.height);
  context.clip();
  context.translate(0.5, 0.5); // pixel centres lie at integers
  for (const shape of svg.querySelectorAll("image, path, ellipse, line, text")) drawShape(context, shape, { pictures, scale });
  context.restore();
  Object.assign(context, { font, fillStyle: TEXT, textBaseline: "top" });
  lines.forEach((line, i) => context.fillText(line, TEXT_PX * scale, size.height + (0.6 + 1.4 * i) * TEXT_PX * scale));
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

async function loadPictures(svg) {
  const shapes = [...svg.querySelectorAll("image")];
  return new Map(await Promise.all(shapes.map(async (shape) => {
    const picture = Object.assign(new Image(), { src: shape.getAttribute("href") });
    await picture.decode();
    return [shape, picture];
  })));
}

function drawShape(context, shape, { pictures, scale }) {
  if (shape.closest(".off")) return;
  const number = (name) => Number(shape.getAttribute(name));
  const style = getComputedStyle(shape);
  context.save();
  context.strokeStyle = style.stroke;
  context.lineWidth = Number.parseFloat(style.strokeWidth) * scale;
  context.globalAlpha = Number(style.strokeOpacity);
  context.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(",").map((each) => Number.parseFloat(each) * scale));
  if (shape.localName === "image") {
    context.globalAlpha = Number(shape.parentElement.getAttribute("opacity") ?? 1);
    context.drawImage(pictures.get(shape), number("x"), number("y"), number("width"), number("height"));
  } else if (shape.localName === "text") {
    drawText(context, shape, { style, scale });
  } else {
    context.stroke(toPath(shape, number));
  }
  context.restore();
}

function drawText(context, shape, { style, scale }) {
  const px = TEXT_PX * scale;
  const at = (name) => Number(shape.getAttribute(name)) + px * (Number.parseFloat(shape.getAttribute(`d${name}`)) || 0);
  Object.assign(context, { font: `600 ${px}px sans-serif`, fillStyle: style.fill, lineWidth: px / 4, lineJoin: "round" });
  context.strokeText(shape.textContent, at("x"), at("y"));
  context.fillText(shape.textContent, at("x"), at("y"));
}

function toPath(shape, number) {
  if (shape.localName === "path") return new Path2D(shape.getAttribute("d"));
  const path = new Path2D();
  if (shape.localName === "ellipse") {
    const [angleDeg = 0] = (shape.getAttribute("transform") ?? "").match(/(?<=rotate\()[-\d.e]+/) ?? [];
    path.ellipse(number("cx"), number("cy"), number("rx"), number("ry"), (Number(angleDeg) * Math.PI) / 180, 0, 2 * Math.PI);
  } else {
    path.moveTo(number("x1"), number("y1"));
    path.lineTo(number("x2"), number("y2"));
  }
  return path;
}

function wrap(context, sentence, width) {
  const lines = [];
  for (const word of sentence.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && context.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
