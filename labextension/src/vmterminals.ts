/**
 * Terminals on the machines: what their tabs need once there is a machine. Loaded then.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import {
  MainAreaWidget,
  type IThemeManager,
  type WidgetTracker
} from '@jupyterlab/apputils';
import type { IRunningSessionManagers } from '@jupyterlab/running';
import type { Terminal, TerminalManager } from '@jupyterlab/services';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { ITerminal } from '@jupyterlab/terminal';
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { terminalIcon } from '@jupyterlab/ui-components';
import { Signal } from '@lumino/signaling';

import { addTab } from './place';
import type { TerminalTab } from './terminaltab';
import type { ICloudModel, ICloudSettings } from './tokens';
import type { IViewContext } from './views/context';

/** A tab with a terminal. */
export type Tab = MainAreaWidget<TerminalTab>;

/** The settings of JupyterLab's own terminals: ours look the same. */
const STOCK_SETTINGS = '@jupyterlab/terminal-extension:plugin';

export interface ITerminalsOptions {
  app: JupyterFrontEnd;
  model: ICloudModel;
  settings: ICloudSettings;
  context: IViewContext;
  tracker: WidgetTracker<Tab>;
  /** Where a tab goes: Notebook 7's main area holds one thing only. */
  area: 'main' | 'down';
  running: IRunningSessionManagers | null;
  registry: ISettingRegistry | null;
  themes: IThemeManager | null;
  translator: ITranslator | null;
}

/** What opens terminals. */
export interface ITerminals {
  open(name: string): Promise<Tab>;
  /** The terminal of a lease: the tab that is there, else a session that runs, else a new one. */
  openOf(leaseId: string): Promise<Tab>;
  openNew(leaseId: string): Promise<Tab>;
}

export function createTerminals(options: ITerminalsOptions): ITerminals {
  const { app, model, settings, context, tracker, running, registry } = options;
  const { themes, translator } = options;
  const { trans } = context;
  const sessions = new Sessions(app, model);
  let stock: Partial<ITerminal.IOptions> = {};

  const apply = () => {
    tracker.forEach(tab => {
      const terminal = tab.content.terminal;
      for (const [key, value] of Object.entries(stock)) {
        terminal?.setOption(key as keyof ITerminal.IOptions, value as never);
      }
    });
  };
  void registry
    ?.load(STOCK_SETTINGS)
    .then(loaded => {
      const take = () => {
        stock = terminalOptions(loaded.composite);
        apply();
      };
      take();
      loaded.changed.connect(take);
    })
    .catch(() => undefined); // No such plugin in this page: xterm.js has defaults.
  themes?.themeChanged.connect(() => {
    tracker.forEach(tab => {
      if ((stock.theme ?? 'inherit') === 'inherit') {
        tab.content.terminal?.setOption('theme', 'inherit');
      }
    });
  });

  const open = async (name: string): Promise<Tab> => {
    const shown = tracker.find(tab => tab.content.name === name);
    if (shown) {
      app.shell.activateById(shown.id);
      return shown;
    }
    const { TerminalTab } = await import('./terminaltab');
    const content = new TerminalTab({
      name,
      context: context,
      existing: wanted => sessions.existing(wanted),
      connect: wanted => sessions.connect(wanted),
      terminalOptions: () => stock,
      flowControl: () => settings.terminalFlowControl,
      translator: translator ?? undefined,
      // The shell's own title would hide whose machine it is.
      onTerminal: terminal => {
        terminal.title.changed.connect(() => retitle());
        retitle();
      },
      onGap: () => retitle()
    });
    const retitle = () => {
      content.title.label = tabTitle(model, name, trans);
      content.title.caption =
        content.terminal?.title.label ?? content.title.label;
    };
    content.title.icon = terminalIcon;
    content.title.closable = true;
    retitle();
    const tab = new MainAreaWidget({ content });
    tab.id = `educloud-terminal-${name}`;
    addTab(app.shell, tab, options.area, {
      mode: 'split-right',
      type: trans.__('Terminal')
    });
    await tracker.add(tab);
    app.shell.activateById(tab.id);
    return tab;
  };

  running?.add({
    name: trans.__('Lab machine terminals'),
    supportsMultipleViews: false,
    running: () =>
      sessions.names.map(name => ({
        icon: () => terminalIcon,
        label: () => tabTitle(model, name, trans),
        labelTitle: () => name,
        open: () => void open(name),
        shutdown: () => void sessions.shutdown(name)
      })),
    shutdownAll: () => void sessions.shutdownAll(),
    refreshRunning: () => void sessions.refresh(),
    runningChanged: sessions.changed,
    shutdownLabel: trans.__('End this terminal'),
    shutdownAllLabel: trans.__('End All'),
    shutdownAllConfirmationText: trans.__(
      'End all terminals on lab machines? What runs in them ends; the machines stay.'
    )
  });
  sessions.follow();
  model.changed.connect(() => sessions.follow());

  return {
    open,
    openOf: async id => {
      const shown = tracker.find(tab => tab.content.leaseId === id);
      if (shown) {
        app.shell.activateById(shown.id);
        return shown;
      }
      const names = await sessions.namesOf(id);
      return open(names[0] ?? `${id}-1`);
    },
    openNew: async id => {
      const { freeName } = await import('./vm');
      const taken: string[] = await sessions.namesOf(id);
      tracker.forEach(tab => taken.push(tab.content.name));
      return open(freeName(id, taken));
    }
  };
}

/** What of the stock settings a terminal takes. */
function terminalOptions(
  composite: ISettingRegistry.ISettings['composite']
): Partial<ITerminal.IOptions> {
  const own = ['shutdownOnClose', 'closeOnExit', 'initialCommand'];
  return Object.fromEntries(
    Object.entries(composite).filter(([key]) => !own.includes(key))
  );
}

function tabTitle(
  model: ICloudModel,
  name: string,
  trans: TranslationBundle
): string {
  const match = /^(.+)-(\d+)$/.exec(name);
  const lab = model.lease(match?.[1] ?? '')?.lab ?? match?.[1] ?? name;
  return match && match[2] !== '1'
    ? trans.__('%1 terminal %2', lab, match[2])
    : trans.__('%1 terminal', lab);
}

/** The running sessions; the manager is made when the server half is known to be there. */
class Sessions {
  constructor(
    private _app: JupyterFrontEnd,
    private _model: ICloudModel
  ) {}

  readonly changed = new Signal<this, void>(this);

  get names(): string[] {
    return this._manager
      ? [...this._manager.running()].map(one => one.name)
      : [];
  }

  async namesOf(leaseId: string): Promise<string[]> {
    const { parseName } = await import('./vm');
    await this.refresh();
    return this.names
      .map(name => ({ name, parsed: parseName(name) }))
      .filter(one => one.parsed?.leaseId === leaseId)
      .sort((a, b) => (a.parsed?.n ?? 0) - (b.parsed?.n ?? 0))
      .map(one => one.name);
  }

  async existing(name: string): Promise<Terminal.ITerminalConnection | null> {
    const manager = await this._load();
    await manager.refreshRunning();
    return this.names.includes(name)
      ? manager.connectTo({ model: { name } })
      : null;
  }

  async connect(name: string): Promise<Terminal.ITerminalConnection> {
    const manager = await this._load();
    return manager.startNew({ name });
  }

  async shutdown(name: string): Promise<void> {
    await (await this._load()).shutdown(name);
  }

  async shutdownAll(): Promise<void> {
    await (await this._load()).shutdownAll();
  }

  async refresh(): Promise<void> {
    await (await this._load()).refreshRunning();
  }

  /** Begin to list what runs as soon as there is a machine. */
  follow(): void {
    if (!this._manager && this._model.snapshot?.leases.length) {
      void this._load();
    }
  }

  private _load(): Promise<TerminalManager> {
    this._loading ??= import('./vm').then(({ createTerminalManager }) => {
      const manager = createTerminalManager(
        this._app.serviceManager.serverSettings,
        () => this._model.serverState === 'ok'
      );
      manager.runningChanged.connect(() => this.changed.emit());
      this._manager = manager;
      return manager;
    });
    return this._loading;
  }

  private _loading: Promise<TerminalManager> | null = null;
  private _manager: TerminalManager | null = null;
}
