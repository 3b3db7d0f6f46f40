// Marks on the axis of a chart: a line from top to bottom with a sign above it. What the sign says is its shape as much
// as its colour: promoted is solid under a full dot, held dashed under an open one, rejected dotted under a cross.

import { colour } from "./colours.js";

const LOOKS = {
  promoted: { color: "--good", dash: [] },
  held: { color: "--warn", dash: [5, 4] },
  rejected: { color: "--bad", dash: [2, 3] },
  bound: { color: "--accent", dash: [4, 3] },
};
const REACH_PX = 9;
const ROOM_PX = 24; // a mark needs to stand alone

// Draws all marks in sight over the plot; called by uPlot after the series. What was promoted is drawn first and, where
// there are many, faintly: what was held or rejected must not drown in it.
export function drawMarks(u, marks) {
  const { ctx, bbox } = u;
  const pixel = devicePixelRatio;
  const placed = marks.map(({ at, kind }) => ({
    kind: kind in LOOKS ? kind : "bound",
    x: Math.round(u.valToPos(at, "x", true)),
  }));
  const seen = placed.filter(({ x }) => x >= bbox.left && x <= bbox.left + bbox.width);
  const crowded = seen.length * ROOM_PX * pixel > bbox.width;
  const paints = Object.fromEntries(Object.entries(LOOKS).map(([kind, { color }]) => [kind, colour(color)]));
  ctx.save();
  for (const { kind, x } of seen.sort((one, other) => (other.kind === "promoted") - (one.kind === "promoted"))) {
    ctx.strokeStyle = ctx.fillStyle = paints[kind];
    ctx.lineWidth = pixel;
    ctx.setLineDash(LOOKS[kind].dash.map((each) => each * pixel));
    ctx.globalAlpha = kind === "promoted" && crowded ? 0.18 : 0.5;
    stroke(ctx, [
      [x, bbox.top],
      [x, bbox.top + bbox.height],
    ]);
    ctx.globalAlpha = 1;
    ctx.setLineDash([]);
    sign(ctx, kind, x, bbox.top - 3 * pixel, (kind === "promoted" && crowded ? 1.5 : 3) * pixel);
  }
  ctx.restore();
}

function sign(ctx, kind, x, y, r) {
  ctx.lineWidth = r / 2;
  if (kind === "rejected") {
    stroke(ctx, [
      [x - r, y - r],
      [x + r, y + r],
    ]);
    stroke(ctx, [
      [x - r, y + r],
      [x + r, y - r],
    ]);
    return;
  }
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 2 * Math.PI);
  if (kind === "held") ctx.stroke();
  else ctx.fill();
}

function stroke(ctx, points) {
  ctx.beginPath();
  points.forEach(([x, y], place) => (place ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
}

// The mark under the cursor and where it stands, or null.
export function nearest(u, marks) {
  let found = null;
  for (const mark of marks) {
    const left = u.valToPos(mark.at, "x");
    const far = Math.abs(left - u.cursor.left);
    if (far <= REACH_PX && (found === null || far < found.far)) found = { mark, far, left };
  }
  return found;
}
