import { obviousLease, panelChoice, readChoice } from '../choose';
import { readable } from '../views/readable';
import { freeName, parseName } from '../vm';
import { lease, parts, snapshot } from './parts';

describe('names of terminals', () => {
  it('hold the lease and a number', () => {
    expect(parseName('k7-m2-11')).toEqual({ leaseId: 'k7-m2', n: 11 });
    expect(parseName('k7m2')).toBeNull();
    expect(parseName('k7-0')).toBeNull();
  });

  it('fill gaps', () => {
    expect(freeName('k', [])).toBe('k-1');
    expect(freeName('k', ['k-1', 'k-3', 'other-2'])).toBe('k-2');
  });
});

describe('readChoice', () => {
  it.each([
    null,
    'x',
    {},
    { lab: 'a' },
    { lab: '', machine_profile: 'b' },
    { lab: 1, machine_profile: 'b' }
  ])('takes no lab from %j', data => {
    expect(readChoice(data)).toBeNull();
  });

  it('takes nothing but names', () => {
    const data = { lab: 'a', machine_profile: 'b', slot: 's', start: true };
    expect(readChoice(data)).toEqual({
      lab: 'a',
      machine_profile: 'b',
      slot: 's'
    });
  });
});

describe('obviousLease', () => {
  it('is the named one, the only one, or a question', async () => {
    const { client, model } = parts();
    await model.refresh();
    expect(obviousLease(model, null, undefined)).toBeNull();
    const one = lease();
    const two = lease({ id: 'b', lab: 'Networks' });
    client.current = snapshot(2, [one, two]);
    await model.refresh();
    expect(obviousLease(model, null, undefined)).toBe('ambiguous');
    expect(obviousLease(model, null, 'b')).toBe(two);
    expect(obviousLease(model, null, 'gone')).toBeNull();
    client.current = snapshot(3, [one]);
    await model.refresh();
    expect(obviousLease(model, null, undefined)).toBe(one);
  });
});

describe('readable', () => {
  it('drops colours and carriage returns', () => {
    expect(readable('\x1b[32m[ OK ]\x1b[0m up\r\r\n\ttab\x07')).toBe(
      '[ OK ] up\n\ttab'
    );
  });
});

describe('panelChoice', () => {
  const notebook = { lab: 'a', machine_profile: 'p', slot: 'main' };

  it.each([
    [{}, notebook],
    [null, notebook],
    [
      { lab: null, machine_profile: null, slot: 'two' },
      { ...notebook, slot: 'two' }
    ],
    [{ lab: 'a' }, notebook],
    [{ machine_profile: 'q' }, { ...notebook, machine_profile: 'q' }],
    [{ lab: 'b' }, { lab: 'b', machine_profile: '' }],
    [
      { lab: 'b', machine_profile: 'q' },
      { lab: 'b', machine_profile: 'q' }
    ]
  ])('of %j', (payload, choice) => {
    expect(panelChoice(payload, notebook)).toEqual(choice);
  });

  it('is none where nothing is named', () => {
    expect(panelChoice({ slot: 'main' }, null)).toBeNull();
    const second = { lab: 'One', machine_profile: 'tiny', slot: 'second' };
    expect(panelChoice({ lab: null, slot: 'main' }, second)).toEqual(second);
    expect(panelChoice({ slot: 'third' }, second)?.slot).toBe('third');
  });
});
