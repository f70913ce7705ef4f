/**
 * What a person has set; the defaults where there is no registry of settings.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal, type ISignal } from '@lumino/signaling';

import { ICloudSettings } from '../tokens';

const PLUGIN_ID = 'educloud-lab:plugin';

class CloudSettings implements ICloudSettings {
  poll_s = 5;
  notifications = true;
  warnBeforeStop: ICloudSettings['warnBeforeStop'] = 'when-something-is-lost';
  defaultProfile = '';
  terminalFlowControl = true;
  showCalls = false;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  take(composite: Partial<ICloudSettings>): void {
    this.poll_s = composite.poll_s ?? this.poll_s;
    this.notifications = composite.notifications ?? this.notifications;
    this.warnBeforeStop = composite.warnBeforeStop ?? this.warnBeforeStop;
    this.defaultProfile = composite.defaultProfile ?? this.defaultProfile;
    this.terminalFlowControl =
      composite.terminalFlowControl ?? this.terminalFlowControl;
    this.showCalls = composite.showCalls ?? this.showCalls;
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
}

export const settingsPlugin: JupyterFrontEndPlugin<ICloudSettings> = {
  id: PLUGIN_ID,
  description: 'Settings of the lab machines.',
  autoStart: true,
  provides: ICloudSettings,
  optional: [ISettingRegistry],
  activate: (_, registry: ISettingRegistry | null): ICloudSettings => {
    const settings = new CloudSettings();
    // Not awaited: nothing waits for the settings to appear on the screen.
    void registry
      ?.load(PLUGIN_ID)
      .then(loaded => {
        const take = () =>
          settings.take(loaded.composite as Partial<ICloudSettings>);
        take();
        loaded.changed.connect(take);
      })
      .catch(reason => {
        console.warn('The settings of educloud-lab could not be read.', reason);
      });
    return settings;
  }
};
