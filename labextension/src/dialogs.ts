/**
 * The questions asked before something is stopped or deleted.
 */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { askForm, confirmation } from './form';
import type { ICloudSettings } from './tokens';
import type { Lease } from './wire';

function paragraph(text: string, className = ''): HTMLElement {
  const node = document.createElement('p');
  node.textContent = text;
  node.className = className;
  return node;
}

/** Ask for the lab's name. Null when the person left it or typed something else. */
export async function askDelete(
  lease: Lease,
  trans: TranslationBundle
): Promise<string | null> {
  const places = (lease.volumes ?? []).map(volume => volume.mount_point);
  const answers = await askForm({
    title: trans.__('Delete the machine of "%1"?', lease.lab),
    says: [
      lease.instance
        ? trans.__(
            'The machine (%1) and its system disk are deleted for good.',
            lease.instance.id
          )
        : trans.__('The machine and its system disk are deleted for good.'),
      places.length > 0
        ? trans.__(
            'Kept: your files in %1. The next Start makes a new machine and gives them back.',
            places.join(', ')
          )
        : trans.__('This machine has no volume: no file of it is kept.')
    ],
    fields: [
      confirmation(
        trans.__('Type the name of the lab to confirm: %1', lease.lab),
        lease.lab
      )
    ],
    accept: trans.__('Delete machine'),
    leave: trans.__('Keep it'),
    warn: true
  });
  return answers?.confirm ?? null;
}

/** Ask before stopping, as the settings want it. True when it may be stopped. */
export async function askStop(
  lease: Lease,
  settings: ICloudSettings,
  trans: TranslationBundle
): Promise<boolean> {
  const loses = lease.system_disk === 'lost';
  const when = settings.warnBeforeStop;
  if (when === 'never' || (when === 'when-something-is-lost' && !loses)) {
    return true;
  }
  const places = (lease.volumes ?? []).map(volume => volume.mount_point);
  const body = new Widget();
  body.addClass('educloud-dialog');
  body.node.append(
    paragraph(
      places.length > 0
        ? trans.__('Kept: your files in %1.', places.join(', '))
        : trans.__('This machine has no volume.')
    ),
    paragraph(
      loses
        ? trans.__(
            'Lost: everything else on the machine, as installed programs and files in your home folder. The next Start makes a fresh system.'
          )
        : trans.__('The system disk is kept too. Running programs end.')
    )
  );
  const result = await showDialog({
    title: trans.__('Stop the machine of "%1"?', lease.lab),
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Keep it running') }),
      loses
        ? Dialog.warnButton({ label: trans.__('Stop') })
        : Dialog.okButton({ label: trans.__('Stop') })
    ]
  });
  return result.button.accept;
}
