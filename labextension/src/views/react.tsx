/**
 * The Lumino widgets around the views.
 */

import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import type {
  ICloudSettings,
  ILabChoice,
  ILabFinder,
  ILabNeeds
} from '../tokens';
import { ViewProvider, type IViewContext } from './context';
import { Panel } from './panel';
import { Sidebar } from './sidebar';

class Rendered extends ReactWidget {
  constructor(
    private _context: IViewContext,
    private _render: () => React.JSX.Element
  ) {
    super();
  }

  protected render(): React.JSX.Element {
    return <ViewProvider value={this._context}>{this._render()}</ViewProvider>;
  }
}

export function sidebarView(
  context: IViewContext,
  settings: ICloudSettings,
  finder: ILabFinder | null,
  needs: ILabNeeds | null
): ReactWidget {
  return new Rendered(context, () => (
    <Sidebar settings={settings} finder={finder} needs={needs} />
  ));
}

export function panelView(
  context: IViewContext,
  choice: ILabChoice | null
): ReactWidget {
  return new Rendered(context, () => <Panel choice={choice} />);
}
