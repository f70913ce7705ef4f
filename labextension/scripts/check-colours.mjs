/**
 * Only the theme's colours: fails for any literal colour in the style sheets, and for a variable that is not JupyterLab's.
 */

import { readFileSync, readdirSync } from 'node:fs';
import process from 'node:process';

const LITERAL =
  /#[0-9a-f]{3,8}\b(?![\w-]*\s*\{)|\b(?:rgb|rgba|hsl|hsla|hwb|lab|lch|oklab|oklch|color)\(|:\s*[^;{]*\b(?:white|black|red|green|blue|gr[ae]y|yellow|orange|purple)\b/gi;
let bad = 0;
for (const name of readdirSync('style').filter(one => one.endsWith('.css'))) {
  const text = readFileSync(`style/${name}`, 'utf8').replace(
    /\/\*[\s\S]*?\*\//g,
    comment => comment.replace(/[^\n]/g, ' ')
  );
  text.split('\n').forEach((line, index) => {
    const declarations = line.includes('{') ? '' : line;
    for (const match of declarations.matchAll(LITERAL)) {
      console.error(
        `style/${name}:${index + 1}: a colour of its own: ${match[0].trim()}`
      );
      bad += 1;
    }
    for (const match of line.matchAll(/var\((--(?!jp-|educloud-)[\w-]+)/g)) {
      console.error(
        `style/${name}:${index + 1}: not a --jp-* variable: ${match[1]}`
      );
      bad += 1;
    }
  });
}
process.exitCode = bad > 0 ? 1 : 0;
