/**
 * The panel in a notebook, by two ways to the same card: as a MIME renderer (after a reload, without a kernel, in an
 * untrusted notebook) and as the view of the notebook's widget. Neither does anything without a click.
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import { PanelLayout, Widget } from '@lumino/widgets';

import { panelChoice } from '../choose';
import {
  DOMAIN,
  ICallsShown,
  ICloudModel,
  ILabFinder,
  PANEL_MIME_TYPE,
  WIDGET_MODULE
} from '../tokens';
import type { IViewContext } from '../views/context';
import { viewContext } from './viewcontext';

/** The version of the contract between the notebook's widget and its view. */
const WIDGET_VERSION = '1.0.0';

/** Before ipywidgets' own view (-10), which needs a kernel and trust. */
const RANK = -20;

/** A place for the card, filled once it is in a page and its lab is known. */
class PanelHost extends Widget implements IRenderMime.IRenderer {
  constructor(
    private _context: IViewContext,
    private _finder: ILabFinder | null,
    private _payload: unknown = null
  ) {
    super();
    this.addClass('educloud');
    this.addClass('educloud-host');
    this.layout = new PanelLayout();
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._payload = model.data[PANEL_MIME_TYPE];
    await this._show();
  }

  protected onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this._finder?.changed.connect(this._onFinder, this);
    void this._show();
  }

  protected onBeforeDetach(msg: Message): void {
    this._finder?.changed.disconnect(this._onFinder, this);
    super.onBeforeDetach(msg);
  }

  dispose(): void {
    this._finder?.changed.disconnect(this._onFinder, this);
    super.dispose();
  }

  private _onFinder(): void {
    void this._show();
  }

  private async _show(): Promise<void> {
    if (!this.isAttached) {
      return;
    }
    const choice = panelChoice(
      this._payload,
      this._finder?.around(this.node) ?? null
    );
    const shown = JSON.stringify(choice);
    if (shown === this._shown) {
      return;
    }
    this._shown = shown;
    const { panelView } = await import('../views/react');
    if (this.isDisposed || this._shown !== shown) {
      return;
    }
    const layout = this.layout as PanelLayout;
    [...layout.widgets].forEach(widget => widget.dispose());
    layout.addWidget(panelView(this._context, choice));
  }

  private _shown: string | null = null;
}

export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:panel',
  description: 'Shows a lab machine in a notebook.',
  autoStart: true,
  requires: [ICloudModel],
  optional: [IRenderMimeRegistry, ILabFinder, ITranslator, ICallsShown],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    rendermime: IRenderMimeRegistry | null,
    finder: ILabFinder | null,
    translator: ITranslator | null,
    calls: ICallsShown | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const context = viewContext(app, model, trans, calls);
    rendermime?.addFactory(
      {
        safe: true,
        mimeTypes: [PANEL_MIME_TYPE],
        defaultRank: RANK,
        createRenderer: () => new PanelHost(context, finder)
      },
      RANK
    );
    // Not a static import: without ipywidgets' extension in the page, the rest of ours must still load.
    void import('@jupyter-widgets/base')
      .then(async ({ IJupyterWidgetRegistry }) => {
        const registry = await app.resolveOptionalService(
          IJupyterWidgetRegistry
        );
        registry?.registerWidget({
          name: WIDGET_MODULE,
          version: WIDGET_VERSION,
          exports: async () => {
            const { widgetExports } = await import('../views/widget');
            return widgetExports(
              payload => new PanelHost(context, finder, payload)
            );
          }
        });
      })
      .catch(reason => {
        console.info('educloud-lab: no ipywidgets in this page.', reason);
      });
  }
};
