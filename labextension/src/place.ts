/**
 * Where a tab of ours goes: into the main area of JupyterLab; in Notebook 7, whose main area holds one thing only, below
 * the notebook, or beside it where it is older than 7.6 and has nothing below.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Widget } from '@lumino/widgets';

export function addTab(
  shell: JupyterFrontEnd.IShell,
  widget: Widget,
  area: 'main' | 'down',
  options: Parameters<JupyterFrontEnd.IShell['add']>[2]
): void {
  shell.add(widget, area, options);
  // JupyterLab adds what comes before its layout later, and always has a main area.
  if (area === 'down' && !widget.parent) {
    shell.add(widget, 'right', options);
  }
}
