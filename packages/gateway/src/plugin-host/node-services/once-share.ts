import type { Log } from '@cardea/sdk'
import { ONCE_LIMITS } from '../../config/limits.ts'
import type { InstancePlan } from '../../protocol/generation.ts'
import { planInUpdate } from '../config-update.ts'
import { checkTask, type OnceClient, type TaskFunction } from './once-client.ts'

interface Task {
  readonly name: string
  readonly run: TaskFunction
}

/** What one instance asks for. */
interface Asked {
  /** Whose tasks it takes over, those of the same name apart; null: nobody's, or it has them already. */
  from: Asked | null
  tasks: Task[]
}

/**
 * The tasks of the instances that share a host: the first one, and those that `updateConfig` made of it. They may run while one
 * of those is live. What is tried, staged or discarded has done nothing by that, and what another has followed no longer does.
 */
export class OnceShare {
  readonly #client: OnceClient
  readonly #plugin: string
  readonly #log: Log
  readonly #asked = new WeakMap<InstancePlan, Asked>()
  /** What the one that is live asks for, or the first. */
  #present: Asked = { from: null, tasks: [] }
  /** While the config is updated: what the instance that it makes asks for. */
  #coming: Asked | null = null
  #isLive = false
  #isQuiet = false
  /** Those that may run, and what takes that back. */
  readonly #claimed = new Map<Task, () => void>()

  constructor(client: OnceClient, plan: InstancePlan, log: Log) {
    this.#client = client
    this.#plugin = plan.plugin
    this.#log = log
    this.#asked.set(plan, this.#present)
  }

  get isQuiet(): boolean {
    return this.#isQuiet
  }

  /** See `Host.once`. Throws TypeError or RangeError on what cannot be. */
  ask(name: string, run: TaskFunction): void {
    checkTask(name, run)
    const asked = this.#askedByUpdate ?? this.#coming ?? this.#present
    const tasks = [...asked.tasks, { name, run }]
    if (tasksOf({ ...asked, tasks }).length > ONCE_LIMITS.tasksMax) {
      throw new RangeError(`An instance has at most ${ONCE_LIMITS.tasksMax} tasks of host.once`)
    }
    asked.tasks = tasks
    if (asked === this.#present) this.#settle()
  }

  /** What an update asks for that has not gone live, and may never; null: no such code runs. */
  get #askedByUpdate(): Asked | null {
    const plan = planInUpdate()
    return plan === null ? null : (this.#asked.get(plan) ?? null)
  }

  beginUpdate(plan: InstancePlan): void {
    this.#coming = { from: this.#present, tasks: [] }
    this.#asked.set(plan, this.#coming)
  }

  endUpdate(): void {
    this.#coming = null
  }

  goLive(plan: InstancePlan): void {
    const asked = this.#asked.get(plan) ?? this.#present
    asked.tasks = tasksOf(asked)
    asked.from = null
    this.#present = asked
    this.#isLive = true
    this.#settle()
  }

  retire(): void {
    this.#isLive = false
    // Whoever is carried into the generation that goes live is told so in this turn: its tasks run on.
    queueMicrotask(() => this.#settle())
  }

  quiesce(): void {
    this.#isQuiet = true
    this.#settle()
  }

  #settle(): void {
    const wanted = new Set(this.#isLive && !this.#isQuiet ? this.#present.tasks : [])
    for (const task of wanted) {
      if (this.#claimed.has(task)) continue
      this.#claimed.set(task, this.#client.add(this.#plugin, task.name, task.run, this.#log))
    }
    // The last: a task that another follows under its name stays in this worker.
    for (const [task, takeBack] of this.#claimed) {
      if (wanted.has(task)) continue
      this.#claimed.delete(task)
      takeBack()
    }
  }
}

function tasksOf({ from, tasks }: Asked): Task[] {
  const names = new Set(tasks.map(({ name }) => name))
  return [...(from?.tasks.filter(({ name }) => !names.has(name)) ?? []), ...tasks]
}
