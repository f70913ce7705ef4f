/**
 * Notifications: one for each job, updated in place, with its progress; nothing about what was over before the page was
 * loaded, and nothing twice.
 */

import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import { LimitWarnings } from './limitwarnings';
import { CommandIDs, type ICloudModel, type ICloudSettings } from './tokens';
import { jobTitle, progressNow } from './views/progress';
import type { Job, Lease } from './wire';

const SUCCESS_SHOWN_MS = 6000;

interface IFollowed {
  notificationId: string | null;
  over: boolean;
}

export class JobNotifications {
  constructor(options: JobNotifications.IOptions) {
    this._model = options.model;
    this._settings = options.settings;
    this._trans = options.trans;
    this._commands = options.commands;
    // What is over is not news; what is in flight is followed quietly, in the notification centre only.
    this._model.snapshot?.leases.forEach(lease => {
      if (lease.job) {
        this._jobs.set(lease.job.id, {
          notificationId: null,
          over: !lease.job.in_flight
        });
        this._quiet.add(lease.job.id);
      }
    });
    this._model.changed.connect(this._onChanged, this);
    this._onChanged();
  }

  private _onChanged(): void {
    if (!this._settings.notifications) {
      return;
    }
    for (const lease of this._model.snapshot?.leases ?? []) {
      if (lease.job) {
        this._follow(lease, lease.job);
      }
    }
  }

  private _follow(lease: Lease, job: Job): void {
    const known = this._jobs.get(job.id);
    const followed = known ?? { notificationId: null, over: false };
    this._jobs.set(job.id, followed);
    if (followed.over) {
      return;
    }
    if (job.in_flight) {
      this._progress(lease, job, followed);
    } else {
      followed.over = true;
      this._end(lease, job, followed);
    }
  }

  private _progress(lease: Lease, job: Job, followed: IFollowed): void {
    const trans = this._trans;
    const step = job.steps.find(one => one.state === 'doing');
    const title = `${lease.lab}: ${jobTitle(job.kind, trans)}`;
    const message = step ? `${title}. ${step.title}` : title;
    const progress = progressNow(job, this._model.now_ms());
    if (followed.notificationId === null) {
      followed.notificationId = Notification.emit(message, 'in-progress', {
        autoClose: this._quiet.has(job.id) ? 0 : false,
        progress,
        actions: [this._showAction()]
      });
    } else {
      // False when the person has closed it: it stays closed.
      Notification.update({ id: followed.notificationId, message, progress });
    }
  }

  private _end(lease: Lease, job: Job, followed: IFollowed): void {
    const trans = this._trans;
    const failed =
      lease.phase === 'trouble' ||
      job.outcome === 'failed' ||
      job.steps.some(step => step.state === 'failed');
    const problem = lease.problem;
    const message = failed
      ? `${lease.lab}: ${problem?.what ?? lease.headline} ${problem?.next_step ?? ''}`.trim()
      : `${lease.lab}: ${doneWords(job.kind, trans) || lease.headline}`;
    const actions: Notification.IAction[] = [];
    if (failed && doneWords(job.kind, trans) === '') {
      actions.push({
        label: trans.__('Try again'),
        displayType: 'accent',
        callback: () =>
          void this._commands.execute(
            job.kind === 'start' ? CommandIDs.start : CommandIDs.show,
            { lease_id: lease.id }
          )
      });
    } else if (job.kind === 'start') {
      actions.push({
        label: trans.__('Terminal'),
        displayType: 'accent',
        callback: () =>
          void this._commands.execute(CommandIDs.openTerminal, {
            lease_id: lease.id
          })
      });
    }
    actions.push(this._showAction());
    const type = failed ? 'error' : 'success';
    const options = {
      autoClose: failed ? (false as const) : SUCCESS_SHOWN_MS,
      actions
    };
    if (followed.notificationId === null) {
      Notification.emit(message, type, options);
    } else if (
      !Notification.update({
        id: followed.notificationId,
        message,
        type,
        progress: 1,
        ...options
      } as Notification.IUpdate<null>) &&
      failed
    ) {
      Notification.emit(message, type, options); // Closed while it went well; now it did not.
    }
  }

  private _showAction(): Notification.IAction {
    return {
      label: this._trans.__('Show'),
      displayType: 'link',
      callback: () => void this._commands.execute(CommandIDs.show)
    };
  }

  private _model: ICloudModel;
  private _settings: ICloudSettings;
  private _trans: TranslationBundle;
  private _commands: CommandRegistry;
  private _jobs = new Map<string, IFollowed>();
  private _quiet = new Set<string>();
}

export namespace JobNotifications {
  export interface IOptions {
    model: ICloudModel;
    settings: ICloudSettings;
    trans: TranslationBundle;
    commands: CommandRegistry;
  }
}

/** What is said when it is done; empty where the lease's headline says it. */
function doneWords(kind: Job['kind'], trans: TranslationBundle): string {
  switch (kind) {
    case 'start':
    case 'stop':
    case 'delete':
    case 'empty':
      return '';
    case 'snapshot':
      return trans.__('The snapshot is complete.');
    case 'restore':
      return trans.__('Your files are those of the snapshot.');
    case 'grow':
      return trans.__('The volume is larger now.');
    case 'discard':
      return trans.__('Your files are in the bin.');
    case 'return':
      return trans.__('Your files are out of the bin.');
  }
}

/** Notify about jobs, and before the end of a machine's time. */
export function followAll(options: JobNotifications.IOptions): void {
  new JobNotifications(options);
  new LimitWarnings(options);
}
