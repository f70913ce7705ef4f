import { nullTranslator } from '@jupyterlab/translation';

import { askDelete, askStop } from '../dialogs';
import { confirmation } from '../form';
import { FakeSettings, lease, settle } from './parts';

const trans = nullTranslator.load('test');

function node<T extends HTMLElement>(selector: string): T {
  const found = document.querySelector<T>(`.jp-Dialog ${selector}`);
  if (!found) {
    throw new Error(`There is no ${selector} in the dialog.`);
  }
  return found;
}

async function typed(text: string): Promise<HTMLButtonElement> {
  await new Promise(resolve => setTimeout(resolve, 0));
  const input = node<HTMLInputElement>('input');
  input.value = text;
  input.dispatchEvent(new Event('input'));
  return node<HTMLButtonElement>('.jp-mod-warn');
}

describe('deleting', () => {
  it('takes the name of the lab and nothing else', () => {
    const field = confirmation('Type it', 'Shell "basics" ä');
    expect(field.check(' Shell "basics" ä ')).toBe('');
    expect(field.check('shell "basics" ä')).not.toBe('');
    expect(field.check('')).not.toBe('');
  });

  it('frees the button when the name is typed', async () => {
    const answer = askDelete(lease(), trans);
    expect((await typed('Shell')).disabled).toBe(true);
    const button = await typed('Shell basics');
    expect(button.disabled).toBe(false);
    expect(document.body.textContent).toContain('Kept: your files in /data');
    button.click();
    expect(await answer).toBe('Shell basics');
  });

  it('deletes nothing on Enter with another name', async () => {
    const answer = askDelete(lease(), trans);
    await typed('yes');
    document
      .querySelector('.jp-Dialog')
      ?.dispatchEvent(
        new KeyboardEvent('keydown', { keyCode: 13, bubbles: true } as never)
      );
    await settle();
    document.querySelector<HTMLElement>('.jp-Dialog .jp-mod-reject')?.click();
    expect(await answer).toBeNull();
  });
});

describe('stopping', () => {
  it('does not ask when nothing is lost', async () => {
    expect(await askStop(lease(), new FakeSettings(), trans)).toBe(true);
  });

  it('asks when the system disk goes', async () => {
    const answer = askStop(
      lease({ system_disk: 'lost' }),
      new FakeSettings(),
      trans
    );
    await new Promise(resolve => setTimeout(resolve, 0));
    expect(node('.jp-Dialog-body, .educloud-dialog').textContent).toContain(
      'Lost: everything else'
    );
    node<HTMLButtonElement>('.jp-mod-reject').click();
    expect(await answer).toBe(false);
  });
});
