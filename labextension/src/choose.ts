/**
 * Which lab and which lease are meant, where it is not said outright.
 */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { ICloudModel, ILabChoice, ILabFinder } from './tokens';
import type { Lease } from './wire';

/**
 * The lease that is named, else that of the notebook in front, else the only one.
 *
 * @returns null when none is meant; 'ambiguous' when the person must be asked.
 */
export function obviousLease(
  model: ICloudModel,
  finder: ILabFinder | null,
  leaseId: string | undefined
): Lease | null | 'ambiguous' {
  if (leaseId) {
    return model.lease(leaseId);
  }
  const leases = model.snapshot?.leases ?? [];
  const inFront = finder?.current();
  const ofNotebook =
    inFront && model.leaseOfLab(inFront.lab, inFront.slot ?? 'main');
  if (ofNotebook) {
    return ofNotebook;
  }
  if (leases.length > 1) {
    return 'ambiguous';
  }
  return leases[0] ?? null;
}

/** As `obviousLease`, and ask where it is not obvious. Null when there is none, or the person left it. */
export async function chooseLease(
  model: ICloudModel,
  finder: ILabFinder | null,
  leaseId: string | undefined,
  trans: TranslationBundle
): Promise<Lease | null> {
  const lease = obviousLease(model, finder, leaseId);
  if (lease !== 'ambiguous') {
    return lease;
  }
  const leases = model.snapshot?.leases ?? [];
  const labels = leases.map(one =>
    one.slot === 'main' ? one.lab : `${one.lab} (${one.slot})`
  );
  const { InputDialog } = await import('@jupyterlab/apputils');
  const answer = await InputDialog.getItem({
    title: trans.__('Which machine?'),
    items: labels
  });
  const index = answer.value === null ? -1 : labels.indexOf(answer.value);
  return answer.button.accept ? (leases[index] ?? null) : null;
}

/** The lab that a notebook's metadata or a panel's payload names; null when it names none. */
export function readChoice(data: unknown): ILabChoice | null {
  if (typeof data !== 'object' || data === null) {
    return null;
  }
  const { lab, machine_profile, slot } = data as Record<string, unknown>;
  if (
    typeof lab !== 'string' ||
    typeof machine_profile !== 'string' ||
    lab === '' ||
    machine_profile === ''
  ) {
    return null;
  }
  return {
    lab,
    machine_profile,
    ...(typeof slot === 'string' && slot !== '' ? { slot } : {})
  };
}

/** Whether a notebook's metadata asks for what each action did. */
export function readShowCalls(data: unknown): boolean {
  return (
    typeof data === 'object' &&
    data !== null &&
    (data as Record<string, unknown>).show_calls === true
  );
}

/**
 * The lab that a panel shows: what its payload names, and for the rest what the notebook names. The machine profile is
 * empty when neither names one: an existing lease can still be shown.
 */
export function panelChoice(
  payload: unknown,
  notebook: ILabChoice | null
): ILabChoice | null {
  const given = Object.fromEntries(
    Object.entries((payload as object | null) ?? {}).filter(
      ([, value]) => typeof value === 'string' && value !== ''
    )
  ) as Partial<ILabChoice>;
  if (!given.lab && given.slot === 'main') {
    delete given.slot; // Not named either: "main" is what CloudPanel() says without being told.
  }
  if (given.lab && given.lab !== notebook?.lab) {
    notebook = null; // The payload is about another lab than the notebook.
  }
  const whole = readChoice({ ...notebook, ...given });
  return (
    whole ??
    (given.lab
      ? {
          lab: given.lab,
          machine_profile: '',
          ...(given.slot ? { slot: given.slot } : {})
        }
      : null)
  );
}

/**
 * The notebook's choice, where it names another machine profile than the lease was made from and nothing of the old
 * one exists: the next machine is made from the new one. The server refuses where something does.
 */
export function otherProfile(
  lease: Lease,
  choice: ILabChoice | null | undefined
): ILabChoice | null {
  const same =
    choice?.lab === lease.lab && (choice.slot ?? 'main') === lease.slot;
  return choice &&
    same &&
    choice.machine_profile !== lease.machine_profile.name &&
    !lease.instance &&
    !lease.job?.in_flight
    ? choice
    : null;
}
