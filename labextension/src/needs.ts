/**
 * Follows the notebook in front and asks the server whether what it needs is here. The rules are the server's.
 */

import { Debouncer } from '@lumino/polling';
import { Signal, type ISignal } from '@lumino/signaling';

import type {
  ICloudModel,
  ILabFinder,
  ILabNeeds,
  INotebookSays
} from './tokens';
import type { NeedsReport } from './wire';

/** Metadata that is typed into an editor changes with each key. */
const PAUSE_MS = 150;

export class LabNeeds implements ILabNeeds {
  constructor(private _options: LabNeeds.IOptions) {
    this._debouncer = new Debouncer(() => this._look(), PAUSE_MS);
    _options.finder.changed.connect(this._onChanged, this);
    _options.model.changed.connect(this._onChanged, this);
    this._onChanged();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get report(): NeedsReport | null {
    return this._report;
  }

  judge(metadata: unknown): Promise<NeedsReport> {
    return this._options.ask(metadata);
  }

  dispose(): void {
    this._options.finder.changed.disconnect(this._onChanged, this);
    this._options.model.changed.disconnect(this._onChanged, this);
    this._debouncer.dispose();
    Signal.clearData(this);
  }

  private _onChanged(): void {
    const says = this._options.finder.says();
    if (says?.path !== this._path) {
      // Another notebook: what was said of the last one is not true of it.
      this._path = says?.path;
      this._show(null);
    }
    if (this._question(says) !== this._asked) {
      void this._debouncer.invoke().catch(() => undefined); // Only disposing rejects it.
    }
  }

  /** All that the answer depends on; empty when there is nothing to ask or nobody who could answer. */
  private _question(says: INotebookSays | null): string {
    const { model } = this._options;
    const { snapshot } = model;
    if (!says || model.serverState !== 'ok' || !snapshot?.version) {
      return '';
    }
    const leases = snapshot.leases.map(one => [
      one.lab,
      one.slot,
      one.machine_profile,
      Boolean(one.instance) || one.job?.in_flight,
      (one.volumes ?? []).map(volume => [volume.mount_point, volume.size_bytes])
    ]);
    const { profiles, profile_problems, course } = snapshot;
    return JSON.stringify([says, profiles, profile_problems, course, leases]);
  }

  private async _look(): Promise<void> {
    const says = this._options.finder.says();
    const question = this._question(says);
    this._asked = question;
    if (!says || !question) {
      this._show(null);
      return;
    }
    try {
      const report = await this._options.ask(says.metadata);
      if (this._asked === question) {
        this._show(report);
        this._options.onReport?.(says, report);
      }
    } catch {
      this._asked = ''; // The next change asks again; the sidebar says what is wrong with the server.
    }
  }

  private _show(report: NeedsReport | null): void {
    if (JSON.stringify(report) !== JSON.stringify(this._report)) {
      this._report = report;
      this._changed.emit();
    }
  }

  private _debouncer: Debouncer;
  private _path: string | undefined;
  private _asked = '';
  private _report: NeedsReport | null = null;
  private _changed = new Signal<this, void>(this);
}

export namespace LabNeeds {
  export interface IOptions {
    model: ICloudModel;
    finder: ILabFinder;
    ask(metadata: unknown): Promise<NeedsReport>;
    /** Called with each new answer on the notebook in front. */
    onReport?(says: INotebookSays, report: NeedsReport): void;
  }
}
