/**
 * The sizes of the built extension, gzipped: the entry (what every page loads) and all of it, beside the aims.
 */

import { readFileSync, readdirSync } from 'node:fs';
import process from 'node:process';
import { gzipSync } from 'node:zlib';

const ENTRY_AIM = 6 * 1024;
const ALL_AIM = 60 * 1024;
const folder = '../educloud_lab/labextension/static';
const size = name => gzipSync(readFileSync(`${folder}/${name}`)).length;
const files = readdirSync(folder)
  .filter(name => name.endsWith('.js'))
  .map(name => ({ name, bytes: size(name) }))
  .sort((a, b) => b.bytes - a.bytes);
for (const { name, bytes } of files) {
  console.log(`${String(bytes).padStart(7)}  ${name}`);
}
// The runtime, and the chunk that lists the plugins: what is read before any of them does something.
const isEntry = name =>
  name.startsWith('remoteEntry') ||
  readFileSync(`${folder}/${name}`, 'utf8').includes('educloud-lab:launcher');
const entry = files
  .filter(one => isEntry(one.name))
  .reduce((sum, one) => sum + one.bytes, 0);
const all = files.reduce((sum, one) => sum + one.bytes, 0);
console.log(`entry ${entry} (aim ${ENTRY_AIM}), all ${all} (aim ${ALL_AIM})`);
process.exitCode = all > ALL_AIM ? 1 : 0;
