/**
 * Notifications before a machine is put to sleep: one for a machine, which says what the last warning says, each warning
 * once, gone when it is over.
 */

import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import { CommandIDs, type ICloudModel, type ICloudSettings } from './tokens';
import { warningWords } from './views/time';
import type { Lease, LimitWarning } from './wire';

interface IShown {
  /** The warning's id: changes with each warning. */
  warningId: string;
  notificationId: string;
}

export class LimitWarnings {
  constructor(options: LimitWarnings.IOptions) {
    this._model = options.model;
    this._settings = options.settings;
    this._trans = options.trans;
    this._commands = options.commands;
    this._model.changed.connect(this._onChanged, this);
    this._onChanged();
  }

  private _onChanged(): void {
    const leases = this._model.snapshot?.leases ?? [];
    const warned = new Set<string>();
    for (const lease of leases) {
      const warning = lease.limits?.warning;
      if (warning && this._settings.notifications) {
        warned.add(lease.id);
        this._warn(lease, warning);
      }
    }
    for (const [leaseId, shown] of [...this._shown]) {
      if (!warned.has(leaseId)) {
        Notification.dismiss(shown.notificationId);
        this._shown.delete(leaseId);
      }
    }
  }

  private _warn(lease: Lease, warning: LimitWarning): void {
    const shown = this._shown.get(lease.id);
    if (shown?.warningId === warning.id) {
      return;
    }
    const words = warningWords(warning, this._model.now_ms(), this._trans);
    const message = `${lease.lab}: ${words} ${warning.loses ?? ''}`.trim();
    const type = warning.urgent ? 'error' : 'warning';
    const options = {
      autoClose: false as const,
      actions: this._actions(lease)
    };
    const updated =
      shown !== undefined &&
      Notification.update({
        id: shown.notificationId,
        message,
        type,
        ...options
      } as Notification.IUpdate<null>);
    // One that the person closed stays closed, but the next warning is news.
    const notificationId = updated
      ? shown.notificationId
      : Notification.emit(message, type, options);
    this._shown.set(lease.id, { warningId: warning.id, notificationId });
  }

  private _actions(lease: Lease): Notification.IAction[] {
    const actions: Notification.IAction[] = [];
    if (lease.actions?.some(one => one.action === 'extend' && one.enabled)) {
      actions.push({
        label: this._trans.__('Keep'),
        displayType: 'accent',
        callback: () =>
          void this._commands.execute(CommandIDs.extend, { lease_id: lease.id })
      });
    }
    actions.push({
      label: this._trans.__('Show'),
      displayType: 'link',
      callback: () => void this._commands.execute(CommandIDs.show)
    });
    return actions;
  }

  private _model: ICloudModel;
  private _settings: ICloudSettings;
  private _trans: TranslationBundle;
  private _commands: CommandRegistry;
  private _shown = new Map<string, IShown>();
}

export namespace LimitWarnings {
  export interface IOptions {
    model: ICloudModel;
    settings: ICloudSettings;
    trans: TranslationBundle;
    commands: CommandRegistry;
  }
}
