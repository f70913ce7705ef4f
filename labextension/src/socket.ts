/**
 * The websocket that brings snapshots: reconnects by itself, a limited number of times, at times that differ from page to
 * page so that a restarted server is not met by all of them at once.
 */

import { URLExt } from '@jupyterlab/coreutils';
import type { ServerConnection } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';

import { API_PREFIX } from './request';
import type { PongMessage, Snapshot, SnapshotMessage } from './wire';

/** Reconnect attempts before giving up; `open()` begins again. */
const ATTEMPTS = 7;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
/** How often the server is asked whether it is there, and how long it may take to answer. */
const PING_MS = 30_000;
const PONG_MS = 10_000;

export type SocketState = 'closed' | 'opening' | 'open';

/** What the manager needs of the socket. */
export interface IStateSocket extends IDisposable {
  readonly state: SocketState;
  readonly stateChanged: ISignal<IStateSocket, SocketState>;
  readonly received: ISignal<IStateSocket, Snapshot>;
  open(): void;
}

export class StateSocket implements IStateSocket {
  constructor(options: StateSocket.IOptions) {
    this._settings = options.serverSettings;
    this._random = options.random ?? Math.random;
  }

  get state(): SocketState {
    return this._state;
  }

  get stateChanged(): ISignal<IStateSocket, SocketState> {
    return this._stateChanged;
  }

  get received(): ISignal<IStateSocket, Snapshot> {
    return this._received;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._drop();
    Signal.clearData(this);
  }

  /** Connect, if not connected or connecting; begins a new series of attempts. */
  open(): void {
    if (this._isDisposed || this._ws !== null) {
      return;
    }
    this._attempt = 0;
    this._connect();
  }

  private _connect(): void {
    window.clearTimeout(this._retryTimer);
    if (this._isDisposed) {
      return;
    }
    this._setState('opening');
    let url = URLExt.join(this._settings.wsUrl, API_PREFIX, 'socket');
    const { token, appendToken } = this._settings;
    if (appendToken && token !== '') {
      url += `?token=${encodeURIComponent(token)}`;
    }
    const ws = new this._settings.WebSocket(url);
    this._ws = ws;
    ws.onopen = () => {
      this._attempt = 0;
      this._setState('open');
      this._schedulePing();
    };
    ws.onmessage = event => this._onMessage(event);
    // An error is always followed by a close.
    ws.onclose = () => this._retry();
  }

  private _onMessage(event: MessageEvent): void {
    let message: SnapshotMessage | PongMessage;
    try {
      message = JSON.parse(event.data);
    } catch {
      return; // Not of our protocol; the next snapshot is whole anyway.
    }
    window.clearTimeout(this._pongTimer);
    if (message.type === 'snapshot') {
      this._received.emit(message.snapshot);
    }
  }

  private _schedulePing(): void {
    window.clearTimeout(this._pingTimer);
    this._pingTimer = window.setTimeout(() => {
      this._ws?.send(JSON.stringify({ type: 'ping' }));
      this._pongTimer = window.setTimeout(() => this._retry(), PONG_MS);
      this._schedulePing();
    }, PING_MS);
  }

  private _retry(): void {
    this._drop();
    if (this._isDisposed) {
      return;
    }
    if (this._attempt >= ATTEMPTS) {
      this._setState('closed');
      return;
    }
    const longest = Math.min(
      LONGEST_DELAY_MS,
      FIRST_DELAY_MS * 2 ** this._attempt
    );
    this._attempt += 1;
    this._setState('opening');
    this._retryTimer = window.setTimeout(
      () => this._connect(),
      longest * (0.5 + 0.5 * this._random())
    );
  }

  private _drop(): void {
    window.clearTimeout(this._retryTimer);
    window.clearTimeout(this._pingTimer);
    window.clearTimeout(this._pongTimer);
    const ws = this._ws;
    this._ws = null;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.close();
    }
  }

  private _setState(state: SocketState): void {
    if (state !== this._state) {
      this._state = state;
      this._stateChanged.emit(state);
    }
  }

  private _settings: ServerConnection.ISettings;
  private _random: () => number;
  private _ws: WebSocket | null = null;
  private _state: SocketState = 'closed';
  private _attempt = 0;
  private _retryTimer = 0;
  private _pingTimer = 0;
  private _pongTimer = 0;
  private _isDisposed = false;
  private _stateChanged = new Signal<this, SocketState>(this);
  private _received = new Signal<this, Snapshot>(this);
}

export namespace StateSocket {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
    /** A number from 0 to 1; for tests. */
    random?: () => number;
  }
}
