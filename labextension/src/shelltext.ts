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

// Control characters but line ends and tabs, and what turns the direction of text round: what is seen is what is typed.
const HIDDEN =
  // eslint-disable-next-line no-control-regex
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** "$ ", "# ", "name@host:~$ " before a command. */
const PROMPT =
  /^(?:\([\w.-]+\)\s*)?(?:[\w.-]+@[\w.-]+(?::\S*)?)?\s*[$#%❯]\s(.*)$/;
const CONTINUED = /^> ?(.*)$/;

/** The commands in the record of a session: without prompts, and without what the machine answered. */
export function commandsOf(session: string): string {
  const lines = session.split('\n');
  const commands: string[] = [];
  let open = false;
  for (const line of lines) {
    const command = PROMPT.exec(line);
    const more = open ? CONTINUED.exec(line) : null;
    if (command) {
      commands.push(command[1]);
      open = true;
    } else if (more) {
      commands.push(more[1]);
    } else {
      open = false;
    }
  }
  // A record without any prompt is one of commands alone.
  return commands.length > 0 ? commands.join('\n') : session;
}

/** What is typed: without control characters, and without the line end that would run it. */
export function typedText(text: string, kind: 'shell' | 'session'): string {
  const plain = text.replace(/\r\n?/g, '\n').replace(HIDDEN, '');
  return (kind === 'session' ? commandsOf(plain) : plain)
    .replace(/^\n+/, '')
    .replace(/\s+$/, '');
}

/** What the shell says when it takes pasted text as one piece, and when it does no longer. */
const SWITCH = /\x1b\[\?(?:[\d;]+;)?2004(?:;[\d;]+)?([hl])/g; // eslint-disable-line no-control-regex
const LONGEST_SWITCH = 32;

/** Follows a terminal's output: whether what is pasted now comes as one piece, which no line end in it runs. */
export class PasteMode {
  /** Whether the program in front has asked for it. */
  bracketed = false;

  take(output: string): void {
    const text = this._tail + output;
    for (const [, state] of text.matchAll(SWITCH)) {
      this.bracketed = state === 'h';
    }
    const from = text.lastIndexOf('\x1b');
    this._tail =
      from >= 0 && text.length - from < LONGEST_SWITCH ? text.slice(from) : '';
  }

  private _tail = '';
}

/** One piece of a text for a terminal that takes no pasted lines: a line at a time, tabs as blanks. */
export function lineAt(text: string, index: number): string {
  return (text.split('\n')[index] ?? '').replace(/\t/g, '    ');
}
