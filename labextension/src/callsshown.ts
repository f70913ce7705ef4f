/**
 * Where "What just happened" is shown: everywhere by a setting, else with the labs whose open notebook asks for it.
 */

import { Signal, type ISignal } from '@lumino/signaling';

import type { ICallsShown, ICloudSettings, ILabFinder } from './tokens';

export class CallsShown implements ICallsShown {
  constructor(
    private _settings: ICloudSettings,
    private _finder: ILabFinder | null
  ) {
    _settings.changed.connect(this._onChanged, this);
    _finder?.changed.connect(this._onChanged, this);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  shown(lab: string): boolean {
    return (
      this._settings.showCalls || (this._finder?.asksForCalls(lab) ?? false)
    );
  }

  private _onChanged(): void {
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
}
