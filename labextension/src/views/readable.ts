/**
 * What a machine printed, as it can be read.
 */

/** Escape sequences (colours, cursor) that a console log is full of: here they are noise. */
// eslint-disable-next-line no-control-regex -- the control characters are what is looked for
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])|[\x00-\x08\x0b-\x1f]/g;

/** Console output as it can be read: without escape sequences and carriage returns. */
export function readable(text: string): string {
  return text.replace(/\r+\n/g, '\n').replace(ESCAPES, '');
}
