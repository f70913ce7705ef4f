/**
 * The sidebar. It is there from the beginning, whatever the server says: it is where the diagnosis is read.
 */

import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { PanelLayout, Widget } from '@lumino/widgets';

import {
  CommandIDs,
  DOMAIN,
  ICallsShown,
  ICloudModel,
  ICloudSettings,
  ILabFinder,
  ILabNeeds
} from '../tokens';
import { machineIcon } from '../views/icons';
import { viewContext } from './viewcontext';

const SIDEBAR_ID = 'educloud-sidebar';

/** In a page's address: `?educloud=show`. */
const LINK_QUERY = 'educloud';

export const sidebarPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:sidebar',
  description: 'Shows the lab machines in the sidebar.',
  autoStart: true,
  requires: [ICloudModel, ICloudSettings],
  optional: [ILabFinder, ILabNeeds, ILayoutRestorer, ITranslator, ICallsShown],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    settings: ICloudSettings,
    finder: ILabFinder | null,
    needs: ILabNeeds | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null,
    calls: ICallsShown | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const sidebar = new Widget();
    sidebar.id = SIDEBAR_ID;
    sidebar.title.icon = machineIcon;
    sidebar.title.caption = trans.__('Lab machine');
    sidebar.node.setAttribute('aria-label', trans.__('Lab machine'));
    sidebar.addClass('educloud');
    const layout = (sidebar.layout = new PanelLayout());
    app.shell.add(sidebar, 'left', {
      rank: 450,
      type: trans.__('Lab machine')
    });
    restorer?.add(sidebar, SIDEBAR_ID);
    void import('../views/react').then(({ sidebarView }) => {
      layout.addWidget(
        sidebarView(
          viewContext(app, model, trans, calls),
          settings,
          finder,
          needs
        )
      );
    });

    // A link to a lab may ask for it (`educloud lab link`). Read before JupyterLab puts its own address there.
    const asked = new URLSearchParams(window.location.search).get(LINK_QUERY);
    if (asked === 'show') {
      void app.restored.then(() => app.shell.activateById(SIDEBAR_ID));
    }

    app.commands.addCommand(CommandIDs.show, {
      label: trans.__('Show Lab Machine'),
      caption: trans.__('Show the sidebar with the lab machines'),
      icon: machineIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        app.shell.activateById(SIDEBAR_ID);
      }
    });
  }
};
