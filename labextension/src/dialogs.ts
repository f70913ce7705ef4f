/**
 * The questions asked before something is stopped or deleted.
 */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type { ICloudSettings } from './tokens';
import type { Lease } from './wire';

/** Whether a typed name confirms the deletion: exactly the lab's name, but for blanks around it. */
export function confirms(lease: Lease, typed: string): boolean {
  return typed.trim() === lease.lab.trim();
}

function paragraph(text: string, className = ''): HTMLElement {
  const node = document.createElement('p');
  node.textContent = text;
  node.className = className;
  return node;
}

/** What deleting takes away and what it leaves, and a field for the lab's name. */
class DeleteBody extends Widget implements Dialog.IBodyWidget<string> {
  constructor(lease: Lease, trans: TranslationBundle) {
    super();
    this.addClass('educloud-dialog');
    const places = (lease.volumes ?? []).map(volume => volume.mount_point);
    this.node.append(
      paragraph(
        lease.instance
          ? trans.__(
              'The machine (%1) and its system disk are deleted for good.',
              lease.instance.id
            )
          : trans.__('The machine and its system disk are deleted for good.')
      ),
      paragraph(
        places.length > 0
          ? trans.__(
              'Kept: your files in %1. The next Start makes a new machine and gives them back.',
              places.join(', ')
            )
          : trans.__('This machine has no volume: no file of it is kept.')
      )
    );
    const label = document.createElement('label');
    label.textContent = trans.__(
      'Type the name of the lab to confirm: %1',
      lease.lab
    );
    this._input = document.createElement('input');
    this._input.type = 'text';
    this._input.className = 'jp-mod-styled';
    this._input.autocomplete = 'off';
    this._input.spellcheck = false;
    label.append(this._input);
    this.node.append(label);
    this._input.addEventListener('input', () => this.onInput?.());
  }

  /** Called at each change of the field. */
  onInput: (() => void) | null = null;

  getValue(): string {
    return this._input.value;
  }

  private _input: HTMLInputElement;
}

/** Ask for the lab's name. Null when the person left it or typed something else. */
export async function askDelete(
  lease: Lease,
  trans: TranslationBundle
): Promise<string | null> {
  const body = new DeleteBody(lease, trans);
  const dialog = new Dialog<string>({
    title: trans.__('Delete the machine of "%1"?', lease.lab),
    body,
    focusNodeSelector: 'input',
    hasClose: true,
    defaultButton: 1,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Keep it') }),
      Dialog.warnButton({ label: trans.__('Delete machine') })
    ]
  });
  body.onInput = () => {
    const button = dialog.node.querySelector<HTMLButtonElement>('.jp-mod-warn');
    if (button) {
      button.disabled = !confirms(lease, body.getValue());
    }
  };
  const closed = dialog.launch();
  body.onInput();
  const result = await closed;
  const typed = result.value ?? '';
  // Enter in the field presses the button even while it is disabled.
  return result.button.accept && confirms(lease, typed) ? typed.trim() : null;
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
