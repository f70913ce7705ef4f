/**
 * When a notebook that names a lab is opened: say once, discreetly, that there is a machine for it. Nothing starts.
 */

import { Notification } from '@jupyterlab/apputils';
import type { IStateDB } from '@jupyterlab/statedb';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ICloudModel, INotebookSays } from './tokens';
import type { NeedsReport } from './wire';

const STATE_KEY = 'educloud-lab:offered';
const REMEMBERED = 200;
const SHOWN_MS = 10_000;

export class Offer {
  constructor(private _options: Offer.IOptions) {}

  /** Say it, unless it was said before, the machine runs, or the sidebar is in sight anyway. */
  async make(says: INotebookSays, report: NeedsReport): Promise<void> {
    const { needs } = report;
    const { model, trans } = this._options;
    const lease = needs ? model.leaseOfLab(needs.lab, needs.slot) : null;
    const resting = !lease || lease.phase === 'off' || lease.phase === 'asleep';
    if (!needs || !resting || this._options.isShown()) {
      return;
    }
    const key = `${needs.lab}\n${needs.slot ?? 'main'}\n${says.path}`;
    this._known ??= this._fetch();
    const known = await this._known;
    if (known.includes(key)) {
      return;
    }
    known.push(key);
    await this._options.state?.save(STATE_KEY, known.slice(-REMEMBERED));
    Notification.info(
      report.can_start
        ? trans.__('This notebook has a machine of its own: %1.', needs.lab)
        : trans.__(
            'This notebook names a machine that cannot be started here: %1.',
            needs.lab
          ),
      {
        autoClose: SHOWN_MS,
        actions: [
          {
            label: trans.__('Show'),
            caption: trans.__('Show the sidebar with the lab machines'),
            callback: () => this._options.show()
          }
        ]
      }
    );
  }

  private async _fetch(): Promise<string[]> {
    const saved: unknown = await this._options.state
      ?.fetch(STATE_KEY)
      .catch(() => null);
    return Array.isArray(saved)
      ? saved.filter((one): one is string => typeof one === 'string')
      : [];
  }

  private _known: Promise<string[]> | null = null;
}

export namespace Offer {
  export interface IOptions {
    model: ICloudModel;
    trans: TranslationBundle;
    /** Where it is remembered; null: until the page is left. */
    state: IStateDB | null;
    /** Whether the sidebar is in sight. */
    isShown(): boolean;
    /** Show the sidebar. */
    show(): void;
  }
}
