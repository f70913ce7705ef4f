/**
 * The list of plugins; each is in a file of its own.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { callsPlugin } from './plugins/calls';
import { commandsPlugin } from './plugins/commands';
import { consolePlugin } from './plugins/console';
import { commandBlocksPlugin } from './plugins/commandblocks';
import { doctorPlugin } from './plugins/doctor';
import { finderPlugin } from './plugins/finder';
import { launcherPlugin } from './plugins/launcher';
import { managerPlugin } from './plugins/manager';
import { needsPlugin } from './plugins/needs';
import { needsFormPlugin } from './plugins/needsform';
import { notificationsPlugin } from './plugins/notifications';
import { overviewPlugin } from './plugins/overview';
import { panelPlugin } from './plugins/panel';
import { settingsPlugin } from './plugins/settings';
import { sidebarPlugin } from './plugins/sidebar';
import { statusPlugin } from './plugins/status';
import { terminalsPlugin } from './plugins/terminals';

export * from './tokens';

// Each plugin has another token; the list is read by the application only.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const plugins: JupyterFrontEndPlugin<any>[] = [
  settingsPlugin,
  managerPlugin,
  finderPlugin,
  needsPlugin,
  needsFormPlugin,
  commandBlocksPlugin,
  callsPlugin,
  sidebarPlugin,
  commandsPlugin,
  terminalsPlugin,
  consolePlugin,
  doctorPlugin,
  overviewPlugin,
  panelPlugin,
  notificationsPlugin,
  statusPlugin,
  launcherPlugin
];

export default plugins;
