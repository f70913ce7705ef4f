/**
 * The form of a lab's needs in the property inspector. What is typed is judged by the server before it is written into
 * the notebook; what it does not understand is told beside the field and not written.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { formatNeed, parseNeed, type NeedField } from '../needstext';
import type { ICloudModel, ILabNeeds } from '../tokens';
import type { NeedsRemark } from '../wire';

/** What of the properties of a field of the metadata forms is used. */
export interface IFieldProps {
  name: string;
  formData?: unknown;
  formContext?: {
    updateMetadata?(data: Record<string, unknown>, reload?: boolean): void;
  };
  registry?: { formContext?: IFieldProps['formContext'] };
}

export interface INeedsFormProps {
  field: IFieldProps;
  model: ICloudModel;
  needs: ILabNeeds;
  trans: TranslationBundle;
}

type Table = Record<string, unknown>;

function tableOf(data: unknown): Table {
  return typeof data === 'object' && data !== null && !Array.isArray(data)
    ? { ...(data as Table) }
    : {};
}

export function NeedsForm(props: INeedsFormProps): React.JSX.Element {
  const { field, model, needs, trans } = props;
  const [table, setTable] = React.useState<Table>(() =>
    tableOf(field.formData)
  );
  const [remarks, setRemarks] = React.useState<readonly NeedsRemark[]>([]);
  const [wrong, setWrong] = React.useState<Record<string, string>>({});
  const used = Object.keys(table).length > 0;
  // What the next change begins with, and the changes before it: two at a time would each take the other's back.
  const latest = React.useRef(table);
  const before = React.useRef(Promise.resolve());

  const judge = async (data: Table) =>
    Object.keys(data).length > 0 ? (await needs.judge(data)).remarks : [];

  React.useEffect(() => {
    let left = false;
    const data = field.formData;
    void (data === undefined ? Promise.resolve([]) : needsOf(needs, data)).then(
      found => {
        if (!left) {
          setRemarks(found);
        }
      }
    );
    return () => {
      left = true;
    };
  }, [field.formData]);

  const write = (data: Table) => {
    const update =
      field.formContext?.updateMetadata ??
      field.registry?.formContext?.updateMetadata;
    const kept = Object.keys(data).length > 0 ? data : undefined;
    latest.current = data;
    update?.({ [field.name]: kept });
    setTable(data);
  };

  const commit = (name: NeedField, text: string) => {
    before.current = before.current.then(() => commitNow(name, text));
    return before.current;
  };

  const commitNow = async (name: NeedField, text: string) => {
    const table = latest.current;
    const value = parseNeed(name, text);
    const next = { ...table };
    if (value === undefined) {
      delete next[name];
    } else {
      next[name] = value;
    }
    if (JSON.stringify(next) === JSON.stringify(table)) {
      setWrong(others => ({ ...others, [name]: '' }));
      return;
    }
    let found: readonly NeedsRemark[];
    try {
      found = await judge(next);
    } catch {
      setWrong(others => ({
        ...others,
        [name]: trans.__(
          'Not saved: the server does not answer, so nobody can say whether this is right.'
        )
      }));
      return;
    }
    const refused = found.find(
      one =>
        value !== undefined &&
        (one.field === name || one.field?.startsWith(`${name}.`)) &&
        (one.code === 'wrong-field' || one.code === 'field-needed')
    );
    if (refused) {
      setWrong(others => ({
        ...others,
        [name]: trans.__('Not saved. %1', refused.what)
      }));
      return;
    }
    setWrong(others => ({ ...others, [name]: '' }));
    setRemarks(found);
    write(next);
  };

  const profiles = (model.snapshot?.profiles ?? []).map(one => one.name);
  const named = formatNeed('machine_profile', table.machine_profile);
  if (named && !profiles.includes(named)) {
    profiles.unshift(named);
  }
  const labels: [NeedField, string, string][] = [
    ['course', trans.__('Course'), trans.__('Empty: any course')],
    ['lab', trans.__('Lab'), trans.__('Each lab has a machine of its own')],
    ['machine_profile', trans.__('Machine profile'), ''],
    [
      'revision',
      trans.__('Least revision'),
      trans.__('Of the machine profile; empty: any')
    ],
    ['slot', trans.__('Slot'), trans.__('Empty: main')],
    [
      'volumes',
      trans.__('Volumes'),
      trans.__('Mount point and GiB, one a line: /data 1')
    ],
    [
      'ports',
      trans.__('Ports'),
      trans.__('That the lab serves something on: 80, 8080')
    ],
    ['minutes', trans.__('Minutes'), trans.__('How long the lab takes')]
  ];
  return (
    <div
      className="educloud educloud-needsForm"
      role="group"
      aria-label={trans.__('Lab machine')}
    >
      {labels.map(([name, label, hint]) => (
        <Entry
          key={name}
          name={name}
          label={label}
          hint={hint}
          text={formatNeed(name, table[name])}
          wrong={wrong[name] ?? ''}
          choices={name === 'machine_profile' ? profiles : null}
          onCommit={text => void commit(name, text)}
        />
      ))}
      <label className="educloud-needsCheck">
        <input
          type="checkbox"
          name="show_calls"
          checked={table.show_calls === true}
          onChange={event =>
            void commit('show_calls', event.target.checked ? 'true' : '')
          }
        />
        {trans.__('Show what each action did')}
      </label>
      {remarks
        .filter(one => used && one.what)
        .map((one, index) => (
          <p
            key={index}
            className="educloud-hint"
            data-code={one.code}
            role="status"
          >{`${one.what} ${one.next_step}`}</p>
        ))}
      {used ? (
        <button
          type="button"
          className="educloud-link jp-mod-danger"
          onClick={() => {
            before.current = before.current.then(() => {
              setWrong({});
              setRemarks([]);
              write({});
            });
          }}
        >
          {trans.__('Remove all of it from this notebook')}
        </button>
      ) : null}
    </div>
  );
}

async function needsOf(
  needs: ILabNeeds,
  data: unknown
): Promise<readonly NeedsRemark[]> {
  try {
    return (await needs.judge(data)).remarks;
  } catch {
    return [];
  }
}

function Entry(props: {
  name: NeedField;
  label: string;
  hint: string;
  text: string;
  wrong: string;
  choices: string[] | null;
  onCommit: (text: string) => void;
}): React.JSX.Element {
  const { name, label, hint, wrong, choices, onCommit } = props;
  const [text, setText] = React.useState(props.text);
  React.useEffect(() => setText(props.text), [props.text]);
  const id = `educloud-needs-${name}`;
  const common = {
    id,
    name,
    'aria-invalid': wrong !== '',
    'aria-describedby': `${id}-more`,
    className: 'jp-mod-styled'
  };
  return (
    <div className="educloud-needsEntry">
      <label htmlFor={id}>{label}</label>
      {choices ? (
        <select
          {...common}
          value={props.text}
          onChange={event => onCommit(event.target.value)}
        >
          <option value="">–</option>
          {choices.map(one => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      ) : name === 'volumes' ? (
        <textarea
          {...common}
          rows={2}
          value={text}
          placeholder={hint}
          onChange={event => setText(event.target.value)}
          onBlur={() => onCommit(text)}
        />
      ) : (
        <input
          {...common}
          type="text"
          value={text}
          placeholder={hint}
          onChange={event => setText(event.target.value)}
          onBlur={() => onCommit(text)}
          onKeyDown={event => {
            if (event.key === 'Enter') {
              event.preventDefault();
              onCommit(text);
            }
          }}
        />
      )}
      <p id={`${id}-more`} className="educloud-needsWrong" role="alert">
        {wrong}
      </p>
    </div>
  );
}
