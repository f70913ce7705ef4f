import { nullTranslator } from '@jupyterlab/translation';

import { progressNow, timeLeft } from '../views/progress';
import { formatBytes, formatDuration, secondsUntil } from '../views/time';
import { at, job, NOW } from './parts';

const trans = nullTranslator.load('test');

describe('time', () => {
  it.each([
    [-4, '0 s'],
    [0.6, '1 s'],
    [59.4, '59 s'],
    [60, '1 min'],
    [95, '1 min 35 s'],
    [301, '5 min'],
    [3599, '59 min'],
    [3600, '1 h'],
    [6840, '1 h 54 min'],
    [86_400, '1 d'],
    [97_200, '1 d 3 h']
  ])('%d seconds are %s', (seconds, words) => {
    expect(formatDuration(seconds, trans)).toBe(words);
  });

  it('counts to a time, and knows none', () => {
    expect(secondsUntil(at(90), NOW)).toBe(90);
    expect(secondsUntil(at(-5), NOW)).toBe(-5);
    expect(secondsUntil(null, NOW)).toBeNull();
    expect(secondsUntil('soon', NOW)).toBeNull();
  });

  it('says sizes in the units of volumes', () => {
    expect(formatBytes(2 ** 30, trans)).toBe('1 GiB');
    expect(formatBytes(1.5 * 2 ** 30, trans)).toBe('1.5 GiB');
    expect(formatBytes(64 * 2 ** 20, trans)).toBe('64 MiB');
  });
});

describe('progress', () => {
  it('moves on between snapshots and never past the step', () => {
    expect(progressNow(job(), NOW)).toBeCloseTo(0.3);
    expect(progressNow(job(), NOW + 2000)).toBeCloseTo(0.5);
    expect(progressNow(job(), NOW + 60_000)).toBeCloseTo(0.77);
  });

  it("is never behind the server's", () => {
    expect(progressNow(job({ progress: 0.6 }), NOW)).toBe(0.6);
  });

  it('is whole only when the job is over', () => {
    expect(progressNow(job({ progress: 1 }), NOW)).toBe(0.99);
    expect(progressNow(job({ progress: 1, in_flight: false }), NOW)).toBe(1);
  });

  it('counts down what is left', () => {
    expect(timeLeft(job(), NOW)).toBe(7);
    expect(timeLeft(job(), NOW + 60_000)).toBe(3);
    expect(timeLeft(job({ estimate_s: null }), NOW)).toBeNull();
  });
});
