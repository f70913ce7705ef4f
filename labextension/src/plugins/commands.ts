/**
 * The commands. What can lose something asks first, whoever runs it.
 */

import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { chooseLease, obviousLease, otherProfile, readChoice } from '../choose';
import {
  CommandIDs,
  DOMAIN,
  ICloudModel,
  ICloudSettings,
  ILabFinder
} from '../tokens';
import { machineIcon } from '../views/icons';
import type { Action } from '../wire';

export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'educloud-lab:commands',
  description: 'Commands for the lab machines.',
  autoStart: true,
  requires: [ICloudModel, ICloudSettings],
  optional: [ILabFinder, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: ICloudModel,
    settings: ICloudSettings,
    finder: ILabFinder | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const { commands } = app;
    const leaseId = {
      type: 'string',
      description: trans.__(
        'Id of the lease. Without it: the lab of the notebook in front, or the only machine there is.'
      )
    };
    const forLease = {
      args: { type: 'object', properties: { lease_id: leaseId } }
    } as const;

    /** Whether the action makes sense now: not greyed out where it only would need a choice. */
    const can = (action: Action, id: unknown): boolean => {
      const lease = obviousLease(model, finder, id as string | undefined);
      return (
        lease === 'ambiguous' ||
        (lease?.actions ?? []).some(one => one.action === action && one.enabled)
      );
    };

    commands.addCommand(CommandIDs.start, {
      label: trans.__('Start Lab Machine'),
      caption: trans.__('Start the machine, with your files on it'),
      icon: machineIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            lease_id: leaseId,
            lab: {
              type: 'string',
              description: trans.__('The lab, where there is no lease yet.')
            },
            machine_profile: {
              type: 'string',
              description: trans.__('The machine profile to start it from.')
            },
            slot: {
              type: 'string',
              description: trans.__(
                'Which of your machines in this lab; "main" when not given.'
              )
            }
          }
        }
      },
      execute: async args => {
        const named = readChoice(args);
        const choice = named ?? (args.lease_id ? null : finder?.current());
        if (choice && !model.leaseOfLab(choice.lab, choice.slot)) {
          await model.claim(choice);
          return;
        }
        const id = choice
          ? model.leaseOfLab(choice.lab, choice.slot)?.id
          : (args.lease_id as string | undefined);
        const lease = await chooseLease(model, finder, id, trans);
        const newer = lease && otherProfile(lease, choice ?? finder?.current());
        if (newer) {
          await model.claim(newer);
        } else if (lease) {
          await model.ask(lease.id, 'start');
        } else if (!args.lease_id) {
          await commands.execute(CommandIDs.show);
        }
      }
    });

    commands.addCommand(CommandIDs.stop, {
      label: trans.__('Stop Lab Machine'),
      caption: trans.__(
        'Put the machine to sleep; the files in its volume stay'
      ),
      describedBy: forLease,
      isEnabled: args => can('stop', args.lease_id),
      execute: async args => {
        const id = args.lease_id as string | undefined;
        const lease = await chooseLease(model, finder, id, trans);
        const { askStop } = await import('../dialogs');
        if (lease && (await askStop(lease, settings, trans))) {
          await model.ask(lease.id, 'stop');
        }
      }
    });

    commands.addCommand(CommandIDs.extend, {
      label: trans.__('Keep Lab Machine Running Longer'),
      caption: trans.__('Begin the time limit again from now'),
      describedBy: forLease,
      isEnabled: args => can('extend', args.lease_id),
      execute: async args => {
        const id = args.lease_id as string | undefined;
        const lease = await chooseLease(model, finder, id, trans);
        if (lease) {
          await model.ask(lease.id, 'extend');
        }
      }
    });

    commands.addCommand(CommandIDs.deleteMachine, {
      label: trans.__('Delete Lab Machine…'),
      caption: trans.__('Delete the machine, never its data volume'),
      describedBy: forLease,
      isEnabled: args => can('delete', args.lease_id),
      execute: async args => {
        const id = args.lease_id as string | undefined;
        const lease = await chooseLease(model, finder, id, trans);
        if (!lease) {
          return;
        }
        const { askDelete } = await import('../dialogs');
        const typed = await askDelete(lease, trans);
        if (typed !== null) {
          await model.deleteMachine(lease.id, typed);
        }
      }
    });

    commands.addCommand(CommandIDs.takeSnapshot, {
      label: trans.__('Take Snapshot of Lab Files…'),
      caption: trans.__('Keep the files in the volume as they are now'),
      describedBy: forLease,
      isEnabled: args => can('snapshot', args.lease_id),
      execute: async args => {
        const id = args.lease_id as string | undefined;
        const lease = await chooseLease(model, finder, id, trans);
        if (lease) {
          const { askAndSend } = await import('../wishes');
          await askAndSend(model, lease, { kind: 'snapshot' }, trans);
        }
      }
    });

    commands.addCommand(CommandIDs.refresh, {
      label: trans.__('Ask the Server About Lab Machines Again'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => model.refresh()
    });

    // The palette greys out what makes no sense; it must hear of changes.
    model.changed.connect(() => commands.notifyCommandChanged());

    const category = trans.__('Lab Machine');
    for (const command of Object.values(CommandIDs)) {
      palette?.addItem({ command, category });
    }
  }
};
