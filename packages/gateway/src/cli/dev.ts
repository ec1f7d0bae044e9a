import { dirname } from 'node:path'
import { SERVE_OPTIONS_DEFAULT, type ServeSource } from '../protocol/master-supervisor.ts'
import { watchGateway } from './control-client.ts'
import { currentUser } from './gateway-command.ts'
import type { CommandIo } from './io.ts'
import { LiveView } from './live-view.ts'
import { runMaster } from './serve.ts'
import { renderStart } from './start-output.ts'
import type { Paint } from './text.ts'

export interface DevCommand {
  readonly source: ServeSource
  readonly io: CommandIo
  readonly paint: Paint
  /** What was written to `io.out` has not left yet. */
  isBusy(): boolean
}

/**
 * `cardea dev`: serves, and shows on stdout what happens: every change with its times or its errors, faults and decisions,
 * and the way of each request through its plugins. Returns the exit code, as `cardea serve`.
 */
export async function dev({ source, io, paint, isBusy }: DevCommand): Promise<number> {
  const directory = source.kind === 'file' ? dirname(source.file) : source.directory
  const view = new LiveView({ directory, paint, isBusy, write: io.out })
  const end = new AbortController()
  const watching = watchGateway({
    directory,
    who: currentUser(),
    traces: true,
    signal: end.signal,
    onConnected: async (client) => view.catchUp(await client.ask({ command: 'status' })),
    onEvent: (event) => view.show(event),
  })
  try {
    return await runMaster({
      serve: { ...SERVE_OPTIONS_DEFAULT, source, debug: true, quiet: true },
      onReady: (addresses, summary) => {
        view.started(summary.generation)
        io.out(renderStart(addresses, summary))
        io.out(`  ${paint('dim', 'Save a file, and it is live. Ctrl-C ends.')}\n\n`)
      },
    })
  } finally {
    end.abort()
    await watching
  }
}
