/**
 * What every view is given: the model, the words, and what buttons do. Views call nothing else.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { CardWish, ICallsShown, ICloudModel, ILabChoice } from '../tokens';
import type { Lease } from '../wire';

/** What the buttons of a card do. */
export interface ICardActions {
  start(lease: Lease): void;
  claim(choice: ILabChoice): void;
  stop(lease: Lease): void;
  extend(lease: Lease): void;
  terminal(lease: Lease): void;
  console(lease: Lease): void;
  remove(lease: Lease): void;
  why(lease: Lease): void;
  wish(lease: Lease, wish: CardWish): void;
}

export interface IViewContext {
  model: ICloudModel;
  trans: TranslationBundle;
  actions: ICardActions;
  /** Where what each action called is shown; nowhere without. */
  calls?: ICallsShown | null;
}

/** For a view without buttons of a card. */
export function contextWithoutActions(
  model: ICloudModel,
  trans: TranslationBundle
): IViewContext {
  const nothing = () => undefined;
  return {
    model,
    trans,
    actions: {
      start: nothing,
      claim: nothing,
      stop: nothing,
      extend: nothing,
      terminal: nothing,
      console: nothing,
      remove: nothing,
      why: nothing,
      wish: nothing
    }
  };
}

const Context = React.createContext<IViewContext | null>(null);

export const ViewProvider = Context.Provider;

export function useView(): IViewContext {
  const context = React.useContext(Context);
  if (context === null) {
    throw new Error('A view is used outside of its provider.');
  }
  return context;
}

/** Render again whenever the model changes. */
export function useModel(): ICloudModel {
  const { model } = useView();
  const [, count] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    const onChanged = () => count();
    model.changed.connect(onChanged);
    count(); // It may have changed between rendering and here.
    return () => {
      model.changed.disconnect(onChanged);
    };
  }, [model]);
  return model;
}

/** The server's clock, in milliseconds; renders again at each tick while `active`. */
export function useNow(active: boolean, every_ms = 1000): number {
  const { model } = useView();
  const [, count] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    if (!active) {
      return;
    }
    const timer = window.setInterval(count, every_ms);
    return () => window.clearInterval(timer);
  }, [active, every_ms]);
  return model.now_ms();
}
