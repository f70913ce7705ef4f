/**
 * What of a shell block is typed: never a line end at the end, never what cannot be seen.
 */

import {
  blockKind,
  commandsOf,
  isPlain,
  lineAt,
  PasteMode,
  typedText
} from '../shelltext';

test('blocks are told apart by their language', () => {
  for (const name of ['bash', 'sh', 'Shell', 'zsh']) {
    expect(blockKind(name)).toBe('shell');
  }
  expect(blockKind('console')).toBe('session');
  expect(blockKind('shell-session')).toBe('session');
  for (const name of ['', 'python', 'text', 'powershell']) {
    expect(blockKind(name)).toBeNull();
  }
});

test('a line end that would run it is dropped, and everything hidden', () => {
  expect(typedText('\n  ls -l \r\n\n', 'shell')).toBe('  ls -l');
  expect(typedText('a\r\nb\rc\n', 'shell')).toBe('a\nb\nc');
  expect(
    typedText('ls\x1b[201~\x03\x04; rm\u202e \u200bx\u2028', 'shell')
  ).toBe('ls[201~; rm x');
  // Letters that are drawn as nothing, tags, selectors; and a blank that is none to a shell.
  expect(
    typedText(
      'ls\u061c\u180e\u3164\u034f\ufe0f\u{e0041}\ufff9 -l\u00a0x',
      'shell'
    )
  ).toBe('ls -l x');
  expect(typedText('\ttab', 'shell')).toBe('\ttab');
  expect(typedText('\x00\n \n', 'shell')).toBe('');
});

test.each([
  ['$ ls\nfile\n$ pwd\n/home', 'ls\npwd'],
  ['student@web:~$ sudo -i\nroot@web:~# id\nuid=0', 'sudo -i\nid'],
  ['(venv) ann@host.org:/data/x$ make', 'make'],
  ['$ for a in 1; do\n> echo $a\n> done\n1', 'for a in 1; do\necho $a\ndone'],
  ['$ cat x\n$5 is not much', 'cat x'],
  ['ls\npwd', 'ls\npwd'],
  ['$ echo a\n> b is output\nc\n> d', 'echo a'],
  ['$ diff a b\n> rm -rf x\n$ pwd', 'diff a b\npwd'],
  ['$ cat x\n# rm -rf y\n$ pwd', 'cat x\npwd'],
  ['# id\n# pwd', 'id\npwd'],
  ['$ sudo -i\nroot@web:~# id', 'sudo -i\nid'],
  ['$ make \\\n> all\n> output', 'make \\\nall'],
  ['$ echo "a\n> b"\n> c', 'echo "a\nb"'],
  ['$ cat <<EOF >f\n> a\n> EOF\n> b', 'cat <<EOF >f\na\nEOF'],
  ['$ f() {\n> ls\n> }\n> x', 'f() {\nls\n}']
])('the commands of the session %j', (session, commands) => {
  expect(commandsOf(session)).toBe(commands);
});

test.each([
  ['<pre><code class="language-bash">ls</code></pre>', true],
  [
    '<pre><code class="language-bash"><span class="ͼd">ls</span> -l</code></pre>',
    true
  ],
  [
    '<pre><code class="language-bash">ls<span hidden>;x</span></code></pre>',
    false
  ],
  [
    '<pre><code class="language-bash">ls<span style="font-size:0">;x</span></code></pre>',
    false
  ],
  [
    '<pre><code class="language-bash">ls<span class="lm-mod-hidden">;x</span></code></pre>',
    false
  ],
  ['<pre style="height:0"><code class="language-bash">x</code></pre>', false],
  [
    '<pre><code class="language-bash">ls<details>;x</details></code></pre>',
    false
  ]
])('whether all of %s is seen', (html, plain) => {
  const host = document.createElement('div');
  host.innerHTML = html;
  expect(isPlain(host.firstElementChild!)).toBe(plain);
});

test('the shell says whether pasted lines wait for Enter', () => {
  const mode = new PasteMode();
  expect(mode.bracketed).toBe(false);
  mode.take('\x1b[?2004h$ ');
  expect(mode.bracketed).toBe(true);
  mode.take('\x1b[?2004l\r\nanswer\r\n\x1b[?20');
  expect(mode.bracketed).toBe(false);
  mode.take('04h$ '); // cut in two by the network
  expect(mode.bracketed).toBe(true);
  mode.take('\x1b[?1;2004l');
  expect(mode.bracketed).toBe(false);
  mode.take('?2004h without an escape');
  expect(mode.bracketed).toBe(false);
});

test('whether there is a shell that hears what is typed', () => {
  const mode = new PasteMode();
  mode.take('Connecting to the machine...\r\x1b[2KWelcome\r\n');
  expect([mode.prompted, mode.ended]).toEqual([false, false]);
  mode.take('\x1b[?2004h$ ');
  expect([mode.prompted, mode.ended]).toEqual([true, false]);
  mode.take('\x1b[?2004l\r\nrunning\r\n');
  expect([mode.prompted, mode.ended]).toEqual([true, false]);
  mode.take('\x18\x1b[?1047l\x1b[!p\x1b[?1000;2004l\x1b[0m');
  expect([mode.prompted, mode.ended]).toEqual([false, true]);
  mode.take('\x1b[?2004h$ ');
  expect([mode.prompted, mode.ended]).toEqual([true, false]);
  mode.take('\x1b[!p\r\nStopped\r\n\x1b[?2004h$ ');
  expect([mode.prompted, mode.ended]).toEqual([true, false]);
});

test('one line at a time, tabs as blanks', () => {
  expect(lineAt('a\n\tb\nc', 1)).toBe('    b');
  expect(lineAt('a', 3)).toBe('');
});
