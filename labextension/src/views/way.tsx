/**
 * The way of a request through the parts of a cloud, as a small picture. It is drawn in the colour of the text around it,
 * and says the same in words to who does not see it. No ids: many of them stand in one page.
 */

import * as React from 'react';

const BOX = { width: 54, height: 24 };

/** Where each part stands; narrow, for the sidebar. The person is above the first. */
const PLACES: Record<string, { x: number; y: number }> = {
  '': { x: 29, y: 10 },
  CLC: { x: 29, y: 48 },
  CC: { x: 100, y: 48 },
  NC: { x: 171, y: 48 },
  SC: { x: 100, y: 98 },
  Walrus: { x: 171, y: 98 }
};
const CODES = ['CLC', 'CC', 'NC', 'SC', 'Walrus'];

/** Where the line from the middle of a box to another point leaves the box. */
export function edge(
  from: { x: number; y: number },
  to: { x: number; y: number },
  gap = 3
): { x: number; y: number } {
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const share = Math.min(
    dx === 0 ? Infinity : (BOX.width / 2 + gap) / Math.abs(dx),
    dy === 0 ? Infinity : (BOX.height / 2 + gap) / Math.abs(dy)
  );
  return { x: from.x + dx * share, y: from.y + dy * share };
}

function Arrow(props: { from: string; to: string }): React.JSX.Element {
  const from = PLACES[props.from];
  const to = PLACES[props.to];
  const begin = props.from === '' ? { x: 29, y: 15 } : edge(from, to);
  const end = edge(to, from);
  const turn = (Math.atan2(end.y - begin.y, end.x - begin.x) * 180) / Math.PI;
  return (
    <g className="educloud-wayArrow">
      <line x1={begin.x} y1={begin.y} x2={end.x} y2={end.y} />
      <polygon
        points="0,0 -7,-3.5 -7,3.5"
        transform={`translate(${end.x} ${end.y}) rotate(${turn})`}
      />
    </g>
  );
}

export function Way(props: {
  parts: readonly string[];
  said: string;
  label: string;
  you: string;
}): React.JSX.Element {
  const known = props.parts.filter(part => CODES.includes(part));
  return (
    <svg
      className="educloud-way"
      viewBox="0 0 200 112"
      role="img"
      aria-label={`${props.label}: ${known.join(' → ')}. ${props.said}`}
    >
      <title>{`${props.label}: ${known.join(' → ')}`}</title>
      <desc>{props.said}</desc>
      <text x={PLACES[''].x} y={12} textAnchor="middle">
        {props.you}
      </text>
      {CODES.map(code => {
        const { x, y } = PLACES[code];
        const number = known.indexOf(code) + 1;
        return (
          <g
            key={code}
            className={
              number ? 'educloud-wayPart jp-mod-on' : 'educloud-wayPart'
            }
            data-part={code}
          >
            <rect
              x={x - BOX.width / 2}
              y={y - BOX.height / 2}
              width={BOX.width}
              height={BOX.height}
              rx={4}
            />
            <text x={x} y={y + 4} textAnchor="middle">
              {number ? `${number} ${code}` : code}
            </text>
          </g>
        );
      })}
      {known.map((part, index) => (
        <Arrow key={part} from={known[index - 1] ?? ''} to={part} />
      ))}
    </svg>
  );
}
