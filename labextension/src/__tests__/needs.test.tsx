/**
 * What the page does with a notebook's needs: asks the server, once for each change that matters, and tells it.
 */

import { Signal } from '@lumino/signaling';
import { act, render, screen } from '@testing-library/react';
import * as React from 'react';

import { otherProfile } from '../choose';
import { LabNeeds } from '../needs';
import { formatNeed, parseNeed } from '../needstext';
import type { ICloudModel, ILabFinder, INotebookSays } from '../tokens';
import { contextWithoutActions, ViewProvider } from '../views/context';
import { NeedsForm } from '../views/needsform';
import { NeedsNotice } from '../views/needs';
import { nullTranslator } from '@jupyterlab/translation';
import type { NeedsReport } from '../wire';
import { fireEvent } from '@testing-library/react';
import { lease, PROFILE } from './parts';

const trans = nullTranslator.load('');
const FINE: NeedsReport = { needs: null, can_start: true, remarks: [] };

function remark(
  weight: 'refusal' | 'warning' | 'note',
  field: string,
  code = weight as string
): NeedsReport['remarks'][number] {
  return {
    code,
    weight,
    field,
    what: `${code} of ${field}.`,
    next_step: 'Do.'
  };
}

function stage() {
  const model = {
    serverState: 'ok',
    snapshot: { version: 1, course: 'local', leases: [], profiles: [PROFILE] },
    changed: new Signal<object, void>({})
  };
  let says: INotebookSays | null = null;
  const finder = { changed: new Signal<object, void>({}), says: () => says };
  return {
    model,
    finder,
    as: {
      model: model as unknown as ICloudModel,
      finder: finder as unknown as ILabFinder
    },
    open: (path: string, metadata: unknown) => {
      says = { path, metadata };
      finder.changed.emit();
    }
  };
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

const settle = () => jest.advanceTimersByTimeAsync(1000);

test('asks once for each change that matters, and forgets what was said of another notebook', async () => {
  const { model, as, open } = stage();
  const asked: unknown[] = [];
  const told = jest.fn();
  const needs = new LabNeeds({
    ...as,
    ask: async metadata => {
      asked.push(metadata);
      return { ...FINE, can_start: asked.length === 1 };
    },
    onReport: told
  });
  await settle();
  expect(asked).toEqual([]);
  open('a', { lab: 'x' });
  await settle();
  expect(asked).toEqual([{ lab: 'x' }]);
  expect(needs.report?.can_start).toBe(true);
  model.changed.emit(); // a new snapshot, in which nothing of it has changed
  await settle();
  expect(asked).toHaveLength(1);
  open('b', 'tiny');
  expect(needs.report).toBeNull();
  await settle();
  expect(asked).toHaveLength(2);
  expect(needs.report?.can_start).toBe(false);
  expect(told).toHaveBeenCalledTimes(2);
  needs.dispose();
});

test('a server that does not answer is asked again at the next change', async () => {
  const { model, as, open } = stage();
  const ask = jest
    .fn<Promise<NeedsReport>, [unknown]>()
    .mockRejectedValueOnce(new Error('gone'))
    .mockResolvedValue(FINE);
  const needs = new LabNeeds({ ...as, ask });
  open('a', {});
  await settle();
  expect(needs.report).toBeNull();
  model.changed.emit();
  await settle();
  expect(needs.report).toEqual(FINE);
});

test('refusals are alerts, warnings and notes are not', () => {
  const context = contextWithoutActions(stage().as.model, trans);
  const remarks = [
    remark('refusal', 'lab'),
    remark('warning', 'ports'),
    remark('note', 'course')
  ];
  render(
    <ViewProvider value={context}>
      <NeedsNotice report={{ needs: null, can_start: false, remarks }} />
    </ViewProvider>
  );
  expect(screen.getAllByRole('alert')).toHaveLength(1);
  expect(screen.getAllByRole('status')).toHaveLength(2);
});

test('text and metadata, there and back', () => {
  expect(parseNeed('ports', '80, 8080;x')).toEqual([80, 8080, 'x']);
  expect(parseNeed('volumes', '/data 2 GiB\n/srv\n')).toEqual([
    { mount_point: '/data', size_gib: 2 },
    { mount_point: '/srv', size_gib: 1 }
  ]);
  expect(parseNeed('volumes', 'a b c d')).toEqual(['a b c d']);
  expect(parseNeed('minutes', 'soon')).toBe('soon');
  expect(parseNeed('revision', ' 3 ')).toBe(3);
  expect(parseNeed('lab', '  ')).toBeUndefined();
  expect(formatNeed('ports', [80, 'x'])).toBe('80, x');
  expect(formatNeed('volumes', [{ mount_point: '/data' }, null])).toBe(
    '/data 1\n/data 1'
  );
  expect(formatNeed('lab', { odd: 1 })).toBe('{"odd":1}');
  expect(formatNeed('course', undefined)).toBe('');
});

async function form(judge: (data: unknown) => Promise<NeedsReport>) {
  const written = jest.fn();
  render(
    <NeedsForm
      field={{
        name: '/educloud',
        formData: { lab: 'x', machine_profile: 'tiny', minutes: 5 },
        formContext: { updateMetadata: written }
      }}
      model={stage().as.model}
      needs={{ report: null, changed: new Signal({} as never), judge }}
      trans={trans}
    />
  );
  await act(settle);
  const set = async (label: string, text: string) => {
    fireEvent.change(screen.getByLabelText(label), { target: { value: text } });
    fireEvent.blur(screen.getByLabelText(label));
    await act(settle);
  };
  return { written, set };
}

test('what the server does not understand is told and not written', async () => {
  const { written, set } = await form(async data =>
    (data as { minutes?: unknown }).minutes === 'soon'
      ? { ...FINE, remarks: [remark('warning', 'minutes', 'wrong-field')] }
      : { ...FINE, remarks: [remark('warning', 'ports', 'port-closed')] }
  );
  await set('Minutes', 'soon');
  expect(written).not.toHaveBeenCalled();
  expect(screen.getByText(/Not saved\. wrong-field/)).toBeTruthy();
  await set('Minutes', '');
  expect(written).toHaveBeenLastCalledWith({
    '/educloud': { lab: 'x', machine_profile: 'tiny' }
  });
  expect(screen.queryByText(/Not saved/)).toBeNull();
  fireEvent.click(screen.getByText(/Remove all/));
  await act(settle);
  expect(written).toHaveBeenLastCalledWith({ '/educloud': undefined });
});

test('a change that is made while another one is judged takes nothing back', async () => {
  let answer = (): void => undefined;
  const first = new Promise<NeedsReport>(resolve => {
    answer = () => resolve(FINE);
  });
  const { written, set } = await form(data =>
    (data as { minutes?: number }).minutes === 7 &&
    (data as { ports?: unknown }).ports === undefined
      ? first
      : Promise.resolve(FINE)
  );
  await set('Minutes', '7');
  await set('Ports', '80');
  expect(written).not.toHaveBeenCalled();
  answer();
  await act(settle);
  expect(written).toHaveBeenLastCalledWith({
    '/educloud': {
      lab: 'x',
      machine_profile: 'tiny',
      minutes: 7,
      ports: [80]
    }
  });
});

test('nothing is written while nobody can say whether it is right', async () => {
  const { written, set } = await form(() => Promise.reject(new Error('gone')));
  await set('Ports', '80');
  expect(written).not.toHaveBeenCalled();
  expect(
    screen.getByText(/Not saved: the server does not answer/)
  ).toBeTruthy();
});

test('the next machine is made from the profile that the notebook names now', () => {
  const one = lease({ lab: 'x', instance: null });
  const choice = { lab: 'x', machine_profile: 'newer' };
  expect(otherProfile(one, choice)).toBe(choice);
  expect(otherProfile(one, { ...choice, slot: 'second' })).toBeNull();
  expect(otherProfile(one, { ...choice, machine_profile: 'tiny' })).toBeNull();
  expect(otherProfile(one, { ...choice, lab: 'y' })).toBeNull();
  expect(otherProfile(one, null)).toBeNull();
  const there = lease({ lab: 'x', instance: { id: 'i-1' } as never });
  expect(otherProfile(there, choice)).toBeNull();
});
