import { signalProcesses } from '../support/processes.ts'
import type { Answer } from './checking-upstream.ts'
import { type Kind, PLUGIN_OF } from './plugins.ts'
import type { Stage } from './stage.ts'

/** A row of the matrix. */
export interface Fault {
  readonly name: string
  /** Brings it in. Resolves, with what became of it in a word, when the gateway has said so. */
  bring(stage: Stage, kind: Kind): Promise<string>
  /** What the answers come to once it is in; default: what was served before serves on. */
  readonly meanwhile?: Readonly<Partial<Record<Kind, (answer: Answer) => boolean>>>
  /** Codes with which requests may be refused. */
  readonly refusals?: Readonly<Partial<Record<Kind, readonly string[]>>>
  /** Undoes what writing the plugin's own two files anew does not. */
  mend?(stage: Stage, kind: Kind): Promise<void>
  /** Requests that are in flight in one worker may be lost. */
  readonly killsWorker?: boolean
}

const FAILED = /The change failed at (\w+), generation \d+ serves on/
const HELD = /The change is held, generation \d+ serves on/
const LIVE = /Generation \d+ is live/

/** Found before any worker sees it: what is live serves on. */
function refused(name: string, form: Parameters<Stage['next']>[1]): Fault {
  return {
    name,
    async bring(stage, kind) {
      const said = stage.listen()
      await stage.write(kind, { 'plugin.ts': stage.next(kind, form)['plugin.ts'] })
      const [, at = ''] = FAILED.exec(await said(FAILED)) ?? []
      return `failed at ${at}`
    },
  }
}

export const START_FAULTS: readonly Fault[] = [
  refused('syntax error', { handle: 'if (' }),
  refused('missing export', { edit: (text) => text.replace('export const', 'const') }),
  refused('throw at start', { start: `throw new Error('no')` }),
  refused('memory blow-up at start', {
    start: 'for (const all = [];;) { all.push(new Array(1e6).fill(0)); await new Promise(setImmediate) }',
  }),
  refused('hang at start: loop', { start: 'for (;;);' }),
  refused('hang at start: promise', { start: 'await new Promise(() => {})' }),
  {
    name: 'half-written file',
    async bring(stage, kind) {
      const whole = stage.next(kind)
      for (const [file, share] of [
        ['plugin.ts', 0],
        ['plugin.ts', 0.5],
        ['plugin.json', 0.5],
      ] as const) {
        const said = stage.listen()
        await stage.write(kind, { [file]: whole[file].slice(0, whole[file].length * share) })
        await said(FAILED)
      }
      return 'failed each time'
    },
  },
]

interface RequestFault {
  readonly name: string
  readonly handle: string
  /** Of the answers that a security plugin's requests get, and of those that follow. */
  readonly code: string
  readonly laterCode?: string
  /** The observe plugin goes back to the version before by itself. */
  readonly isTakenBack?: boolean
}

/** What no trial can find: the change goes live, and each request decides by `on_failure`. */
function live({ name, handle, code, laterCode = code, isTakenBack = false }: RequestFault): Fault {
  return {
    name,
    async bring(stage, kind) {
      const said = stage.listen()
      const before = stage.versionOf(kind)
      await stage.write(kind, { 'plugin.ts': stage.next(kind, { handle })['plugin.ts'] })
      await said(LIVE)
      if (kind === 'security' || !isTakenBack) return 'live'
      await said(/is taken back to/)
      await stage.traffic.turns(({ watch }) => watch === `${before}`, 'the version before', 2)
      return 'live, then taken back'
    },
    meanwhile: {
      security: (answer) => answer.status === 503 && answer.code === laterCode,
      observe: ({ status, watch }) => status === 200 && (watch !== '') === isTakenBack,
    },
    refusals: { security: [code, laterCode] },
  }
}

export const REQUEST_FAULTS: readonly Fault[] = [
  live({ name: 'throw in handle', handle: `throw new Error('no')`, code: 'HOOK_THREW' }),
  live({ name: 'rejected promise', handle: `return Promise.reject(new Error('no'))`, code: 'HOOK_THREW' }),
  live({
    name: 'never-settling promise',
    handle: 'return new Promise(() => {})',
    code: 'HOOK_TIMEOUT',
    laterCode: 'PLUGIN_BREAKER_OPEN',
    isTakenBack: true,
  }),
  live({ name: 'wrong return', handle: `return 'yes'`, code: 'HOOK_RETURN_INVALID' }),
  live({
    name: 'infinite loop in handle',
    handle: 'for (;;);',
    code: 'PLUGIN_STALLED',
    laterCode: 'PLUGIN_QUARANTINED',
    isTakenBack: true,
  }),
  live({
    name: 'memory blow-up in handle',
    handle: 'for (const all = [];;) all.push(new Array(1000).fill({}))',
    code: 'PLUGIN_STALLED',
    laterCode: 'PLUGIN_QUARANTINED',
    isTakenBack: true,
  }),
]

/** What an observe plugin's folder is: its loss is allowed. */
const withoutWatch = { observe: ({ status, watch }: Answer) => status === 200 && watch === '' }

interface FolderFault {
  readonly name: string
  apply(stage: Stage, kind: Kind): Promise<void>
  mend?: Fault['mend']
  /** The observe plugin still runs, in its new form. */
  readonly isKept?: boolean
}

/** A route that merely had the plugin: losing security is held, losing the rest is what was asked for. */
function lost({ name, apply, mend, isKept = false }: FolderFault): Fault {
  return {
    name,
    async bring(stage, kind) {
      const said = stage.listen()
      await apply(stage, kind)
      await said(kind === 'security' ? HELD : LIVE)
      return kind === 'security' ? 'held' : 'live'
    },
    meanwhile: isKept ? { observe: ({ status, watch }) => status === 200 && watch !== '' } : withoutWatch,
    ...(mend === undefined ? {} : { mend }),
  }
}

/** A route that names the plugin cannot be without it. */
function missing({ name, apply, mend }: FolderFault): Fault {
  return {
    name: `${name}, named by the route`,
    async bring(stage, kind) {
      const said = stage.listen()
      await apply(stage, kind)
      const [, at = ''] = FAILED.exec(await said(FAILED)) ?? []
      return `failed at ${at}`
    },
    ...(mend === undefined ? {} : { mend }),
  }
}

const writeManifest = (
  stage: Stage,
  kind: Kind,
  manifest: Readonly<Record<string, unknown>>,
): Promise<void> => stage.write(kind, { 'plugin.json': stage.filesOf(kind, { manifest })['plugin.json'] })

const DELETED: FolderFault = {
  name: 'deleted folder',
  apply: (stage, kind) => stage.removeFolder(PLUGIN_OF[kind]),
}

const RENAMED: FolderFault = {
  name: 'renamed',
  async apply(stage, kind) {
    const name = PLUGIN_OF[kind]
    await writeManifest(stage, kind, { name: `${name}-2` })
    await stage.renameFolder(name, `${name}-2`)
  },
  mend: (stage, kind) => stage.renameFolder(`${PLUGIN_OF[kind]}-2`, PLUGIN_OF[kind]),
  isKept: true,
}

const DISABLED: FolderFault = {
  name: 'disabled',
  apply: (stage, kind) => writeManifest(stage, kind, { enabled: false }),
}

const RECATEGORISED: FolderFault = {
  name: 're-categorised',
  apply: (stage, kind) => writeManifest(stage, kind, { category: 'custom' }),
  isKept: true,
}

export const FOLDER_FAULTS: readonly Fault[] = [DELETED, RENAMED, DISABLED, RECATEGORISED].map(lost)
export const NAMED_FOLDER_FAULTS: readonly Fault[] = [DELETED, RENAMED].map(missing)

/** The change that was under way goes live all the same. */
const isServed = ({ status }: Answer): boolean => status === 200
const served = { security: isServed, observe: isServed }

export const PROCESS_FAULTS: readonly Fault[] = [
  {
    name: 'kill -9 of a worker',
    async bring(stage, kind) {
      const said = stage.listen()
      const [worker] = stage.gateway.pids('cardea: worker')
      await stage.write(kind, { 'plugin.ts': stage.next(kind)['plugin.ts'] })
      signalProcesses(worker === undefined ? [] : [worker], 'SIGKILL')
      await said(/Worker \d ended: SIGKILL/)
      await stage.isWell()
      return 'live'
    },
    meanwhile: served,
    killsWorker: true,
  },
  {
    name: 'kill -9 of the supervisor',
    async bring(stage, kind) {
      const said = stage.listen()
      await stage.write(kind, { 'plugin.ts': stage.next(kind)['plugin.ts'] })
      signalProcesses(stage.gateway.pids('cardea: supervisor'), 'SIGKILL')
      await said(/The supervisor ended: SIGKILL/)
      await stage.isWell()
      return 'live'
    },
    meanwhile: served,
  },
]
