/**
 * Which lab the notebook in front is about, from its metadata `educloud`.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { Signal, type ISignal } from '@lumino/signaling';

import { readChoice, readShowCalls } from '../choose';
import { ILabFinder, type ILabChoice, type INotebookSays } from '../tokens';

class LabFinder implements ILabFinder {
  constructor(private _tracker: INotebookTracker) {
    _tracker.currentChanged.connect(this._onCurrent, this);
    this._onCurrent();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  current(): ILabChoice | null {
    return this._read(this._tracker.currentWidget);
  }

  around(node: Node): ILabChoice | null {
    return this._read(
      this._tracker.find(panel => panel.node.contains(node)) ?? null
    );
  }

  asksForCalls(lab: string): boolean {
    const asking = this._tracker.find(panel => {
      const data = panel.model?.getMetadata('educloud') as unknown;
      return readChoice(data)?.lab === lab && readShowCalls(data);
    });
    return asking !== undefined;
  }

  says(): INotebookSays | null {
    const panel = this._tracker.currentWidget;
    const metadata = panel?.model?.getMetadata('educloud') as unknown;
    return panel && metadata !== undefined
      ? { path: panel.context.path, metadata }
      : null;
  }

  private _read(panel: NotebookPanel | null): ILabChoice | null {
    return readChoice(panel?.model?.getMetadata('educloud'));
  }

  private _onCurrent(): void {
    this._changed.emit();
    const panel = this._tracker.currentWidget;
    panel?.disposed.connect(this._onMetadata, this); // What it asked for, nobody asks for any more.
    void panel?.context.ready.then(() => {
      if (panel.isDisposed || panel !== this._tracker.currentWidget) {
        return;
      }
      this._model?.metadataChanged.disconnect(this._onMetadata, this);
      this._model = panel.model;
      this._model?.metadataChanged.connect(this._onMetadata, this);
      this._changed.emit();
    });
  }

  private _onMetadata(): void {
    this._changed.emit();
  }

  private _model: NotebookPanel['model'] = null;
  private _changed = new Signal<this, void>(this);
}

export const finderPlugin: JupyterFrontEndPlugin<ILabFinder | null> = {
  id: 'educloud-lab:lab-finder',
  description: 'Tells which lab the notebook in front is about.',
  autoStart: true,
  provides: ILabFinder,
  requires: [INotebookTracker],
  activate: (_, tracker: INotebookTracker): ILabFinder => new LabFinder(tracker)
};
