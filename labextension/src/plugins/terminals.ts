/**
 * Terminals on the machines: tabs, their restoration, and a section under Running.
 */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IThemeManager, WidgetTracker } from '@jupyterlab/apputils';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { terminalIcon } from '@jupyterlab/ui-components';

import { chooseLease, obviousLease } from '../choose';
import {
  CommandIDs,
  DOMAIN,
  ICloudModel,
  ICloudSettings,
  ILabFinder,
  IMachineTerminals
} from '../tokens';
import type { ITerminals, Tab } from '../vmterminals';
import { viewContext } from './viewcontext';

export const terminalsPlugin: JupyterFrontEndPlugin<IMachineTerminals> = {
  id: 'educloud-lab:terminals',
  description: 'Opens terminals on the lab machines.',
  autoStart: true,
  provides: IMachineTerminals,
  requires: [ICloudModel, ICloudSettings],
  optional: [
    ILabShell,
    ILabFinder,
    ILayoutRestorer,
    IRunningSessionManagers,
    ISettingRegistry,
    IThemeManager,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    settings: ICloudSettings,
    labShell: ILabShell | null,
    finder: ILabFinder | null,
    restorer: ILayoutRestorer | null,
    running: IRunningSessionManagers | null,
    registry: ISettingRegistry | null,
    themes: IThemeManager | null,
    translator: ITranslator | null
  ): IMachineTerminals => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const tracker = new WidgetTracker<Tab>({ namespace: 'educloud-terminal' });
    let loading: Promise<ITerminals> | null = null;
    const load = () =>
      (loading ??= import('../vmterminals').then(({ createTerminals }) =>
        createTerminals({
          app,
          model,
          settings,
          context: viewContext(app, model, trans),
          tracker,
          // Notebook 7's main area holds one thing only: the notebook.
          area: labShell ? 'main' : 'down',
          running,
          registry,
          themes,
          translator
        })
      ));

    const leaseId = {
      type: 'string',
      description: trans.__(
        'Id of the lease. Without it: the lab of the notebook in front, or the only machine there is.'
      )
    };
    const leaseOf = async (args: { lease_id?: unknown }) =>
      (args.lease_id as string | undefined) ||
      (await chooseLease(model, finder, undefined, trans))?.id;
    const enabled = (args: { lease_id?: unknown; name?: unknown }) => {
      if (args.name) {
        return true;
      }
      const lease = obviousLease(
        model,
        finder,
        args.lease_id as string | undefined
      );
      return (
        lease === 'ambiguous' ||
        (lease?.actions ?? []).some(
          one => one.action === 'terminal' && one.enabled
        )
      );
    };

    app.commands.addCommand(CommandIDs.openTerminal, {
      label: args =>
        args.isPalette
          ? trans.__('Open Terminal on Lab Machine')
          : trans.__('Machine Terminal'),
      caption: trans.__(
        'Open a terminal on the machine: the one that is there, or the first'
      ),
      icon: terminalIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            lease_id: leaseId,
            name: {
              type: 'string',
              description: trans.__(
                'Name of one terminal, as <lease id>-<number>.'
              )
            }
          }
        }
      },
      isEnabled: enabled,
      execute: async args => {
        if (typeof args.name === 'string' && args.name !== '') {
          return (await load()).open(args.name);
        }
        const id = await leaseOf(args);
        if (!id) {
          return null;
        }
        return (await load()).openOf(id);
      }
    });

    app.commands.addCommand(CommandIDs.newTerminal, {
      label: trans.__('New Terminal on Lab Machine'),
      caption: trans.__('Open another terminal on the machine'),
      icon: terminalIcon,
      describedBy: {
        args: { type: 'object', properties: { lease_id: leaseId } }
      },
      isEnabled: enabled,
      execute: async args => {
        const id = await leaseOf(args);
        if (!id) {
          return null;
        }
        return (await load()).openNew(id);
      }
    });

    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openTerminal,
        args: tab => ({ name: tab.content.name }),
        name: tab => tab.content.name,
        when: model.ready
      });
    }
    // What runs is listed as soon as there is a machine.
    const follow = () => {
      if (model.snapshot?.leases.length) {
        model.changed.disconnect(follow);
        void load();
      }
    };
    model.changed.connect(follow);
    follow();
    return {
      type: async (id, text, line) => {
        const tab = await (await load()).openOf(id);
        const { typeInto } = await import('../typein');
        return typeInto(tab.content, text, line);
      }
    };
  }
};
