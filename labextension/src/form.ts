/**
 * A dialog that says what will happen, asks for what it needs, and frees its button when that is right.
 */

import { Dialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

export interface IField {
  name: string;
  label: string;
  value?: string;
  type?: 'text' | 'number' | 'datetime-local';
  min?: string;
  max?: string;
  maxLength?: number;
  /** What is wrong with what was entered; empty when it is right. Nothing is said of an empty field. */
  check(value: string): string;
}

export interface IForm {
  title: string;
  /** What will happen, one paragraph each. */
  says: string[];
  fields?: IField[];
  accept: string;
  leave: string;
  /** Whether something is lost by it. */
  warn?: boolean;
}

/** What was entered, by the field's name. */
export type Answers = Record<string, string>;

class FormBody extends Widget implements Dialog.IBodyWidget<Answers> {
  constructor(form: IForm) {
    super();
    this.addClass('educloud-dialog');
    for (const text of form.says) {
      const node = document.createElement('p');
      node.textContent = text;
      this.node.append(node);
    }
    for (const field of form.fields ?? []) {
      this._add(field);
    }
  }

  /** Called at each change of a field. */
  onInput: (() => void) | null = null;

  get isRight(): boolean {
    return this._fields.every(({ field, input }) => !field.check(input.value));
  }

  getValue(): Answers {
    return Object.fromEntries(
      this._fields.map(({ field, input }) => [field.name, input.value.trim()])
    );
  }

  private _add(field: IField): void {
    const label = document.createElement('label');
    label.textContent = field.label;
    const input = document.createElement('input');
    input.type = field.type ?? 'text';
    input.name = field.name;
    input.value = field.value ?? '';
    input.className = 'jp-mod-styled';
    input.autocomplete = 'off';
    input.spellcheck = false;
    input.min = field.min ?? '';
    input.max = field.max ?? '';
    if (field.maxLength) {
      input.maxLength = field.maxLength;
    }
    const wrong = document.createElement('p');
    wrong.className = 'educloud-hint educloud-wrong';
    wrong.id = `educloud-wrong-${field.name}`;
    wrong.setAttribute('role', 'status');
    input.setAttribute('aria-describedby', wrong.id);
    label.append(input);
    this.node.append(label, wrong);
    this._fields.push({ field, input });
    const tell = () => {
      const text = input.value === '' ? '' : field.check(input.value);
      if (wrong.textContent !== text) {
        wrong.textContent = text;
      }
      input.setAttribute('aria-invalid', String(text !== ''));
    };
    input.addEventListener('input', () => {
      tell();
      this.onInput?.();
    });
    tell();
  }

  private _fields: { field: IField; input: HTMLInputElement }[] = [];
}

/** Ask. Null when the person left it, or what was entered is not right. */
export async function askForm(form: IForm): Promise<Answers | null> {
  const body = new FormBody(form);
  const make = form.warn ? Dialog.warnButton : Dialog.okButton;
  const hasFields = (form.fields ?? []).length > 0;
  const dialog = new Dialog<Answers>({
    title: form.title,
    body,
    focusNodeSelector: hasFields ? 'input' : '.jp-mod-reject',
    hasClose: true,
    defaultButton: form.warn && !hasFields ? 0 : 1,
    buttons: [
      Dialog.cancelButton({ label: form.leave }),
      make({ label: form.accept })
    ]
  });
  body.onInput = () => {
    const button = dialog.node.querySelector<HTMLButtonElement>(
      '.jp-Dialog-footer .jp-mod-accept, .jp-Dialog-footer .jp-mod-warn'
    );
    if (button) {
      button.disabled = !body.isRight;
    }
  };
  const closed = dialog.launch();
  body.onInput();
  const result = await closed;
  // Enter in a field presses the button even while it is disabled.
  return result.button.accept && body.isRight
    ? (result.value ?? body.getValue())
    : null;
}

/** A field that confirms: exactly these words, but for blanks around them. */
export function confirmation(label: string, words: string): IField {
  return {
    name: 'confirm',
    label,
    check: value => (value.trim() === words.trim() ? '' : ' ')
  };
}
