/**
 * What is said and asked before a wish of a card is sent. Loaded when the first of them is pressed.
 *
 * None of these is a command: a link in a notebook can run commands (CVE-2026-42557), and none of these is for a link.
 */

import type { TranslationBundle } from '@jupyterlab/translation';

import { askForm, confirmation } from './form';
import type { CardWish, ICloudModel, Wish } from './tokens';
import { formatBytes, formatClock } from './views/time';
import type { BinItem, Lease, VolumeSnapshot } from './wire';

/** How long a volume stays in the bin. */
export const BIN_DAYS = 7;
const GIB = 2 ** 30;
const LARGEST_GIB = 16_384;
const LONGEST_NAME = 100;
const SHORTEST_REASON = 3;
const LONGEST_REASON = 500;
const DAY_MS = 86_400_000;

/** Ask what has to be asked, then send it. False when it was left or refused. */
export async function askAndSend(
  model: ICloudModel,
  lease: Lease,
  cardWish: CardWish,
  trans: TranslationBundle
): Promise<boolean> {
  const wish = await asked(model, lease, cardWish, trans);
  return wish !== null && model.wish(lease.id, wish);
}

function asked(
  model: ICloudModel,
  lease: Lease,
  wish: CardWish,
  trans: TranslationBundle
): Promise<Wish | null> {
  switch (wish.kind) {
    case 'busy':
      return Promise.resolve({ action: 'busy', body: { until: wish.until } });
    case 'exempt':
      return askExempt(model, lease, trans);
    case 'end-exemption':
      return askEndExemption(lease, trans);
    case 'snapshot':
      return askSnapshot(model, lease, trans);
    case 'restore':
      return askRestore(lease, wish.snapshot, model, trans);
    case 'delete-snapshot':
      return askDeleteSnapshot(lease, wish.snapshot, trans);
    case 'publish':
      return askPublish(lease, wish.snapshot, trans);
    case 'grow':
      return askGrow(lease, trans);
    case 'discard':
      return askDiscard(lease, trans);
    case 'return':
      return askReturn(lease, wish.item, trans);
  }
}

/** A time as a `datetime-local` field has it. */
function localValue(time_ms: number): string {
  const at = new Date(time_ms);
  return new Date(time_ms - at.getTimezoneOffset() * 60_000)
    .toISOString()
    .slice(0, 16);
}

async function askExempt(
  model: ICloudModel,
  lease: Lease,
  trans: TranslationBundle
): Promise<Wish | null> {
  const answers = await askForm({
    title: trans.__('Turn the time limits off for "%1"?', lease.lab),
    says: [
      trans.__(
        'The machine of %1 then runs until the end given here, also when nobody uses it. Reason, end and your name are kept and shown.',
        lease.person
      )
    ],
    fields: [
      {
        name: 'reason',
        label: trans.__('Reason'),
        maxLength: LONGEST_REASON,
        check: value =>
          value.trim().length >= SHORTEST_REASON
            ? ''
            : trans.__('Say in a few words why.')
      },
      {
        name: 'until',
        label: trans.__('Until'),
        type: 'datetime-local',
        value: localValue(model.now_ms() + DAY_MS),
        min: localValue(model.now_ms()),
        check: value =>
          Date.parse(value) > model.now_ms()
            ? ''
            : trans.__('The end has to be in the future.')
      }
    ],
    accept: trans.__('Turn limits off'),
    leave: trans.__('Leave them on')
  });
  return (
    answers && {
      action: 'exempt',
      body: {
        reason: answers.reason,
        until: new Date(answers.until).toISOString()
      }
    }
  );
}

async function askEndExemption(
  lease: Lease,
  trans: TranslationBundle
): Promise<Wish | null> {
  const answers = await askForm({
    title: trans.__('Turn the time limits on again for "%1"?', lease.lab),
    says: [trans.__('The machine gets its full time again from now on.')],
    accept: trans.__('Turn limits on'),
    leave: trans.__('Leave them off')
  });
  return answers && { action: 'end-exemption' };
}

async function askSnapshot(
  model: ICloudModel,
  lease: Lease,
  trans: TranslationBundle
): Promise<Wish | null> {
  const now_ms = model.now_ms();
  const answers = await askForm({
    title: trans.__('Take a snapshot of your files of "%1"?', lease.lab),
    says: [
      trans.__(
        'It keeps %1 as it is now. You can go on working meanwhile, and come back to it later.',
        mountPoint(lease, trans)
      )
    ],
    fields: [
      {
        name: 'name',
        label: trans.__('Name'),
        value: trans.__(
          'Files of %1',
          formatClock(new Date(now_ms).toISOString(), now_ms - DAY_MS)
        ),
        maxLength: LONGEST_NAME,
        check: value => (value.trim() === '' ? trans.__('Give it a name.') : '')
      }
    ],
    accept: trans.__('Take snapshot'),
    leave: trans.__('Cancel')
  });
  return answers && { action: 'snapshot', body: { name: answers.name } };
}

async function askRestore(
  lease: Lease,
  snapshot: VolumeSnapshot,
  model: ICloudModel,
  trans: TranslationBundle
): Promise<Wish | null> {
  const taken = formatClock(snapshot.created_at, model.now_ms());
  const answers = await askForm({
    title: trans.__('Go back to the snapshot "%1"?', snapshot.name),
    says: [
      trans.__(
        'A new volume is made from the snapshot of %1; your files in %2 are then as they were at that time.',
        taken,
        mountPoint(lease, trans)
      ),
      trans.__(
        'The present volume, with everything written since, goes into the bin. It stays there for %1 days, and you can put it back.',
        BIN_DAYS
      ),
      trans.__('The snapshot itself stays.')
    ],
    accept: trans.__('Restore'),
    leave: trans.__('Keep present files'),
    warn: true
  });
  return answers && { action: 'restore', snapshotId: snapshot.id };
}

async function askDeleteSnapshot(
  lease: Lease,
  snapshot: VolumeSnapshot,
  trans: TranslationBundle
): Promise<Wish | null> {
  const answers = await askForm({
    title: trans.__('Delete the snapshot "%1"?', snapshot.name),
    says: [
      trans.__(
        'The snapshot is deleted for good. Your present files in %1 are not touched.',
        mountPoint(lease, trans)
      )
    ],
    fields: [
      confirmation(
        trans.__('Type its name to confirm: %1', snapshot.name),
        snapshot.name
      )
    ],
    accept: trans.__('Delete snapshot'),
    leave: trans.__('Keep it'),
    warn: true
  });
  return answers && { action: 'delete-snapshot', snapshotId: snapshot.id };
}

async function askPublish(
  lease: Lease,
  snapshot: VolumeSnapshot,
  trans: TranslationBundle
): Promise<Wish | null> {
  const published = !snapshot.published;
  const answers = await askForm({
    title: published
      ? trans.__('Give the snapshot "%1" to everybody?', snapshot.name)
      : trans.__('Give the snapshot "%1" to nobody any more?', snapshot.name),
    says: [
      published
        ? trans.__(
            'Everybody who starts the lab "%1" for the first time from now on gets a copy of these files. Whoever has files already keeps those.',
            lease.lab
          )
        : trans.__(
            'New volumes of the lab "%1" are empty again. Whoever has a copy keeps it.',
            lease.lab
          )
    ],
    accept: published ? trans.__('Publish') : trans.__('Stop publishing'),
    leave: trans.__('Cancel')
  });
  return answers && { action: 'publish', snapshotId: snapshot.id, published };
}

async function askGrow(
  lease: Lease,
  trans: TranslationBundle
): Promise<Wish | null> {
  const size_bytes = lease.volumes?.[0]?.size_bytes ?? 0;
  const least = Math.floor(size_bytes / GIB) + 1;
  const answers = await askForm({
    title: trans.__('Make the volume of "%1" larger?', lease.lab),
    says: [
      trans.__(
        'It has %1 now. It can grow, with all files on it, but never shrink.',
        formatBytes(size_bytes, trans)
      )
    ],
    fields: [
      {
        name: 'size',
        label: trans.__('New size in GiB'),
        type: 'number',
        value: String(Math.max(2 * (least - 1), least)),
        min: String(least),
        max: String(LARGEST_GIB),
        check: value =>
          /^\d+$/.test(value.trim()) &&
          Number(value) >= least &&
          Number(value) <= LARGEST_GIB
            ? ''
            : trans.__('A whole number from %1 to %2.', least, LARGEST_GIB)
      }
    ],
    accept: trans.__('Grow'),
    leave: trans.__('Cancel')
  });
  return (
    answers && { action: 'grow', body: { size_gib: Number(answers.size) } }
  );
}

async function askDiscard(
  lease: Lease,
  trans: TranslationBundle
): Promise<Wish | null> {
  const answers = await askForm({
    title: trans.__('Put the files of "%1" into the bin?', lease.lab),
    says: [
      trans.__(
        'The volume with all files in %1 goes into the bin. After %2 days it is deleted for good; until then you can put it back.',
        mountPoint(lease, trans),
        BIN_DAYS
      ),
      trans.__('The next Start makes a new, empty volume.')
    ],
    fields: [
      confirmation(
        trans.__('Type the name of the lab to confirm: %1', lease.lab),
        lease.lab
      )
    ],
    accept: trans.__('Put into the bin'),
    leave: trans.__('Keep files'),
    warn: true
  });
  return answers && { action: 'discard', confirm: answers.confirm };
}

async function askReturn(
  lease: Lease,
  item: BinItem,
  trans: TranslationBundle
): Promise<Wish | null> {
  const present = (lease.volumes ?? []).some(volume => volume.id);
  const answers = await askForm({
    title: trans.__('Take %1 out of the bin?', item.cloud_id),
    says: [
      trans.__(
        'Its files (%1) are your files in %2 again.',
        formatBytes(item.size_bytes, trans),
        mountPoint(lease, trans)
      ),
      ...(present
        ? [
            trans.__(
              'The present volume goes into the bin in its place, for %1 days.',
              BIN_DAYS
            )
          ]
        : [])
    ],
    accept: trans.__('Put back'),
    leave: trans.__('Cancel')
  });
  return answers && { action: 'return', itemId: item.id };
}

function mountPoint(lease: Lease, trans: TranslationBundle): string {
  return lease.volumes?.[0]?.mount_point ?? trans.__('the volume');
}
