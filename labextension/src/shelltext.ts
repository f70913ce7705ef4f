/**
 * What of a shell block in a text is typed into a terminal.
 */

/** The languages of a fenced block that is one of a shell, as authors name them. */
const SHELLS = new Set(['bash', 'sh', 'shell', 'zsh', 'dash', 'ash']);
const SESSIONS = new Set([
  'console',
  'shell-session',
  'shellsession',
  'sh-session',
  'bash-session'
]);

/** Which kind of block it is, by its language; null for one of no shell. */
export function blockKind(language: string): 'shell' | 'session' | null {
  const name = language.trim().toLowerCase();
  return SHELLS.has(name) ? 'shell' : SESSIONS.has(name) ? 'session' : null;
}

// Control characters but line ends and tabs, what turns the direction of text round, and whatever else is drawn as
// nothing: what is seen is what is typed.
const HIDDEN =
  /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/** Looks like a blank, and is none to a shell. */
const BLANKS = /\p{Zs}/gu;

/** "$ ", "# ", "name@host:~$ " before a command. */
const PROMPT =
  /^(?:\([\w.-]+\)\s*)?([\w.-]+@[\w.-]+(?::\S*)?)?\s*([$#%❯])\s(.*)$/;
const CONTINUED = /^> ?(.*)$/;
/** How a line ends that a shell asks to be continued, and how one begins that goes on until its last word. */
const GOES_ON = /(?:\\|\||&&|[{(]|\b(?:do|then|else|in))\s*$/;
const LONGER = /^\s*(?:for|while|until|if|case|select|function)\b/;
const LAST_WORD = /(?:^|[\s;])(?:done|fi|esac)\s*$/;

/** Whether a shell asks for more after these lines. Where it is unclear, no: then nothing that it answered is typed. */
function isUnfinished(lines: string[]): boolean {
  const text = lines.join('\n');
  const marks = (sign: string) => text.split(sign).length - 1;
  const here = /<<-?\s*(["']?)([\w.]+)\1/.exec(lines[0]);
  if (here) {
    return !lines.slice(1).some(line => line.trim() === here[2]);
  }
  return (
    GOES_ON.test(lines[lines.length - 1]) ||
    (LONGER.test(lines[0]) && !LAST_WORD.test(lines[lines.length - 1])) ||
    marks('{') > marks('}') ||
    marks("'") % 2 === 1 ||
    marks('"') % 2 === 1
  );
}

/** The commands in the record of a session: without prompts, and without what the machine answered. */
export function commandsOf(session: string): string {
  const lines = session.split('\n');
  const commands: string[] = [];
  let last: string[] = [];
  // Beside other prompts, a bare "# " is a comment or the first sign of what a file holds.
  const others = lines.some(line => {
    const found = PROMPT.exec(line);
    return found !== null && (found[1] !== undefined || found[2] !== '#');
  });
  for (const line of lines) {
    const command = PROMPT.exec(line);
    const more =
      last.length > 0 && isUnfinished(last) ? CONTINUED.exec(line) : null;
    if (command && (!others || command[1] || command[2] !== '#')) {
      commands.push(command[3]);
      last = [command[3]];
    } else if (more) {
      commands.push(more[1]);
      last.push(more[1]);
    } else {
      last = [];
    }
  }
  // A record without any prompt is one of commands alone.
  return commands.length > 0 ? commands.join('\n') : session;
}

const HIDES = /^(?:jp|lm|p)-|hidden|sr-only/i;

/**
 * Whether a rendered block shows all of its text. HTML in a text may hide a part of it by an attribute, a style or a
 * class of the page's; what renders and colours a fenced block gives its parts classes alone.
 */
export function isPlain(pre: Element): boolean {
  return [pre, ...pre.querySelectorAll('*')].every(
    one =>
      ['PRE', 'CODE', 'SPAN'].includes(one.tagName) &&
      [...one.attributes].every(attribute => attribute.name === 'class') &&
      [...one.classList].every(name => !HIDES.test(name))
  );
}

/** What is typed: without control characters, and without the line end that would run it. */
export function typedText(text: string, kind: 'shell' | 'session'): string {
  const plain = text
    .replace(/\r\n?/g, '\n')
    .replace(HIDDEN, '')
    .replace(BLANKS, ' ');
  return (kind === 'session' ? commandsOf(plain) : plain)
    .replace(/^\n+/, '')
    .replace(/\s+$/, '');
}

/** What the shell says when it takes pasted text as one piece, and when it does no longer. */
const SWITCH = /\x1b\[\?(?:[\d;]+;)?2004(?:;[\d;]+)?([hl])/g; // eslint-disable-line no-control-regex
/** What our server sends when a shell has ended without its terminal: what is typed now reaches nobody. */
const ENDED = '\x1b[!p';
const LONGEST_SWITCH = 32;

/** Follows a terminal's output: whether what is pasted now comes as one piece, which no line end in it runs. */
export class PasteMode {
  /** Whether the program in front has asked for it. */
  bracketed = false;

  /** Whether this shell has been at its prompt: what is typed before that reaches nobody. */
  get prompted(): boolean {
    return this._shell === 'prompted';
  }

  /** Whether the shell has ended, and no other was opened yet. */
  get ended(): boolean {
    return this._shell === 'ended';
  }

  take(output: string): void {
    const text = this._tail + output;
    const ended = text.lastIndexOf(ENDED);
    if (ended >= 0) {
      this._shell = 'ended';
    }
    for (const found of text.matchAll(SWITCH)) {
      this.bracketed = found[1] === 'h';
      if (this.bracketed && found.index > ended) {
        this._shell = 'prompted';
      }
    }
    const from = text.lastIndexOf('\x1b');
    this._tail =
      from >= 0 && text.length - from < LONGEST_SWITCH ? text.slice(from) : '';
  }

  private _tail = '';
  private _shell: 'opening' | 'prompted' | 'ended' = 'opening';
}

/** One piece of a text for a terminal that takes no pasted lines: a line at a time, tabs as blanks. */
export function lineAt(text: string, index: number): string {
  return (text.split('\n')[index] ?? '').replace(/\t/g, '    ');
}
