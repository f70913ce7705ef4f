/**
 * What the rest of the extension, and other extensions, know of the machines: the contract, without any code.
 */

import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import type {
  Accounts,
  Action,
  AuditPage,
  BinItem,
  BusyRequest,
  Console,
  ExemptRequest,
  GrowRequest,
  Lease,
  NeedsReport,
  OrphanReport,
  Problem,
  Shelf,
  Snapshot,
  SnapshotRequest,
  VolumeSnapshot,
  Why
} from './wire';

/** The name of the translation catalogue. */
export const DOMAIN = 'educloud_lab';

/** The MIME type of the panel in a notebook's output. */
export const PANEL_MIME_TYPE = 'application/vnd.educloud.panel+json';

/** The module that the notebook's widget names, in `_model_module` and `_view_module`. */
export const WIDGET_MODULE = 'educloud-lab';

export namespace CommandIDs {
  export const show = 'educloud:show-machine';
  export const start = 'educloud:start';
  export const stop = 'educloud:stop';
  export const extend = 'educloud:extend';
  export const openTerminal = 'educloud:open-terminal';
  export const newTerminal = 'educloud:new-terminal';
  export const openConsole = 'educloud:open-console';
  export const deleteMachine = 'educloud:delete-machine';
  export const refresh = 'educloud:refresh';
  export const takeSnapshot = 'educloud:take-snapshot';
  export const why = 'educloud:why';
  export const overview = 'educloud:course-overview';
}

/**
 * Where the server half stands.
 *
 * - `connecting`: not answered yet.
 * - `ok`: answers, and speaks our version.
 * - `missing`: the Jupyter server answers, but has no such extension.
 * - `too-old`, `too-new`: the other half speaks another version.
 * - `unreachable`: the Jupyter server does not answer.
 * - `problem`: the server half is there but cannot work; `problem` says why.
 */
export type ServerState =
  | 'connecting'
  | 'ok'
  | 'missing'
  | 'too-old'
  | 'too-new'
  | 'unreachable'
  | 'problem';

/** Which lab a notebook is about, and the machine profile that it names. */
export interface ILabChoice {
  lab: string;
  machine_profile: string;
  slot?: string;
}

/** What may be asked of a lease besides start, stop, keep and delete. What loses something was confirmed before. */
export type Wish =
  | { action: 'busy'; body: BusyRequest }
  | { action: 'exempt'; body: ExemptRequest }
  | { action: 'end-exemption' }
  | { action: 'snapshot'; body: SnapshotRequest }
  | { action: 'restore' | 'delete-snapshot'; snapshotId: string }
  | { action: 'publish'; snapshotId: string; published: boolean }
  | { action: 'grow'; body: GrowRequest }
  | { action: 'discard'; confirm: string }
  | { action: 'return'; itemId: string };

/** What is asked for and not yet answered. */
export type Pending = Action | Wish['action'];

/** What a button of a card is pressed for; where something has to be said or asked first, it is. */
export type CardWish =
  | { kind: 'busy'; until: string | null }
  | { kind: 'exempt' | 'end-exemption' | 'snapshot' | 'grow' | 'discard' }
  | {
      kind: 'restore' | 'delete-snapshot' | 'publish';
      snapshot: VolumeSnapshot;
    }
  | { kind: 'return'; item: BinItem };

/** The state of the machines as the server tells it, and what may be asked of them. It knows no DOM. */
export interface ICloudModel extends IDisposable {
  /** Where the server half stands. */
  readonly serverState: ServerState;
  /** Why it cannot work, when `serverState` is `problem`, `unreachable`, `too-old` or `too-new`. */
  readonly serverProblem: Problem | null;
  /** The version of the server half's package; empty before it answered. */
  readonly serverVersion: string;
  /** The newest snapshot, or null before the first one. */
  readonly snapshot: Snapshot | null;
  /** Whether changes arrive by themselves (by the socket) rather than by asking now and then. */
  readonly isLive: boolean;
  /** Emitted whenever anything above changed. */
  readonly changed: ISignal<ICloudModel, void>;
  /** Fulfilled when the server half was asked for the first time, whatever it answered. */
  readonly ready: Promise<void>;

  /** The server's clock, in milliseconds since the epoch. */
  now_ms(): number;
  /** The lease of that id, if the person has it. */
  lease(id: string): Lease | null;
  /** The lease of a lab, if the person has one. */
  leaseOfLab(lab: string, slot?: string): Lease | null;
  /** The action that was asked for and not yet answered, if any. Before a lease exists, by its lab's key. */
  pending(key: string): Pending | null;
  /** Why the last action was refused, until the next one or until the lease changes. */
  refusal(key: string): Problem | null;

  /** Ask the server again: hello, snapshot, socket. Never rejects; the outcome is in the state. */
  refresh(): Promise<void>;
  /** Make the lease of a lab, or find it, and start its machine. Null when refused (see `refusal`). */
  claim(choice: ILabChoice): Promise<Lease | null>;
  /** Start, stop or extend. False when refused (see `refusal`). */
  ask(leaseId: string, action: 'start' | 'stop' | 'extend'): Promise<boolean>;
  /** Delete the machine; `confirm` is the lab's name as the person typed it. */
  deleteMachine(leaseId: string, confirm: string): Promise<boolean>;
  /** Ask anything else of a lease. False when refused (see `refusal`). */
  wish(leaseId: string, wish: Wish): Promise<boolean>;
  /** The console output of the present instance. Rejects with RequestError, as all below. */
  console(leaseId: string): Promise<Console>;
  /** Why a machine hangs, looked up now. */
  why(leaseId: string): Promise<Why>;
  /** What its latest actions called in the cloud, newest first. */
  accounts(leaseId: string): Promise<Accounts>;
  /** The audit log of a lease, or of the course; entries before an id. For those who oversee it. */
  audit(options: { leaseId?: string; before?: number }): Promise<AuditPage>;
  /** What was found in the cloud without owner. For those who oversee the course. */
  orphans(): Promise<OrphanReport>;
  /** Act on orphans whose grace time is over, or only say what would be done. */
  reap(dryRun: boolean): Promise<OrphanReport>;
  /** Bin and quarantine of the course. For those who oversee it. */
  shelf(): Promise<Shelf>;
}

export const ICloudModel = new Token<ICloudModel>(
  'educloud-lab:ICloudModel',
  'The lab machines of the person: their state, and what may be asked of them.'
);

/** The key under which a lab without a lease keeps its pending action and refusal. */
export function labKey(lab: string, slot = 'main'): string {
  return `lab:${slot}:${lab}`;
}

/** Which lab the person is looking at. */
export interface ILabFinder {
  /** Emitted when another notebook comes to the front, or its metadata changes. */
  readonly changed: ISignal<ILabFinder, void>;
  /** The lab of the notebook in front, if it names one. */
  current(): ILabChoice | null;
  /** The lab of the notebook that holds this node, if it names one. */
  around(node: Node): ILabChoice | null;
  /** Whether an open notebook of a lab says (`show_calls`) that what each action did is to be shown. */
  asksForCalls(lab: string): boolean;
  /** What the notebook in front says of its lab, whatever that is; null where none does. */
  says(): INotebookSays | null;
}

/** A notebook's metadata `educloud`, which anybody may have written. */
export interface INotebookSays {
  readonly path: string;
  readonly metadata: unknown;
}

export const ILabFinder = new Token<ILabFinder>(
  'educloud-lab:ILabFinder',
  'Which lab the notebook in front is about.'
);

/** Whether what the notebook in front needs is here, as the server judges it. */
export interface ILabNeeds {
  /** Emitted when the report has changed. */
  readonly changed: ISignal<ILabNeeds, void>;
  /** On the notebook in front; null while there is none, or none that speaks of a lab. */
  readonly report: NeedsReport | null;
  /** Judge other metadata, such as what somebody is about to write. Rejects with RequestError. */
  judge(metadata: unknown): Promise<NeedsReport>;
}

export const ILabNeeds = new Token<ILabNeeds>(
  'educloud-lab:ILabNeeds',
  'Whether what the notebook in front needs of a machine is here.'
);

/** What came of typing a text into a terminal. */
export type Typed = 'all' | 'line' | 'not-open';

/** The terminals of the machines. No command: a link in a notebook could run one. */
export interface IMachineTerminals {
  /**
   * Open or show the terminal of a lease and put text at its prompt, without Enter. Where the program in front would
   * run the lines of a pasted text, only the line of that number is put there.
   */
  type(leaseId: string, text: string, line: number): Promise<Typed>;
}

export const IMachineTerminals = new Token<IMachineTerminals>(
  'educloud-lab:IMachineTerminals',
  'Puts text into the terminals of the lab machines, without running it.'
);

/** What a person may set. */
export interface ICloudSettings {
  /** Seconds between two questions while the socket is down. */
  readonly poll_s: number;
  readonly notifications: boolean;
  readonly warnBeforeStop: 'always' | 'when-something-is-lost' | 'never';
  /** Name of the machine profile offered first; empty: the first one there is. */
  readonly defaultProfile: string;
  /** Whether terminals acknowledge what they have shown, so that a flood cannot pile up. */
  readonly terminalFlowControl: boolean;
  /** Whether cards show what each action called in the cloud, whatever the notebooks say. */
  readonly showCalls: boolean;
  readonly changed: ISignal<ICloudSettings, void>;
}

export const ICloudSettings = new Token<ICloudSettings>(
  'educloud-lab:ICloudSettings',
  'What a person has set for the lab machines.'
);

/** Where "What just happened" is shown. */
export interface ICallsShown {
  /** Emitted when the setting or a notebook changed. */
  readonly changed: ISignal<ICallsShown, void>;
  /** Whether it is shown on the card of a lab. */
  shown(lab: string): boolean;
}

export const ICallsShown = new Token<ICallsShown>(
  'educloud-lab:ICallsShown',
  'Where is shown what each action called in the cloud.'
);
