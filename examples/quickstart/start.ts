import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { constants } from 'node:os'
import { join } from 'node:path'
import { startUpstream } from './upstream.ts'

/** `npm start`: the shop's own server, and a real gateway in front of it that reads cardea.yaml beside this file. */

const CARDEA = join(import.meta.dirname, '../../packages/gateway/bin/cardea.js')
const CONFIG = join(import.meta.dirname, 'cardea.yaml')
const PORT_DEFAULT = 8080

async function main(): Promise<number> {
  const port = Number(process.env.PORT ?? PORT_DEFAULT)
  if (await isTaken(port)) {
    process.stderr.write(
      `Port ${port} is taken by another program. Choose another one: PORT=${port + 1} npm start\n`,
    )
    return 1
  }
  const upstream = await startUpstream()
  const address = upstream.address() as AddressInfo
  const code = await runGateway({ SHOP_URL: `http://127.0.0.1:${address.port}` })
  upstream.close()
  upstream.closeAllConnections()
  return code
}

/** Runs `cardea serve` until it ends; its output is ours, and so is its exit code. */
async function runGateway(env: Record<string, string>): Promise<number> {
  const gateway = spawn(process.execPath, [CARDEA, 'serve', '--config', CONFIG], {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  process.on('SIGTERM', () => gateway.kill('SIGTERM'))
  process.on('SIGINT', () => {
    // Ctrl-C reaches the gateway by itself; sent again, it would end it without draining.
    if (!process.stdin.isTTY) gateway.kill('SIGINT')
  })
  const [code, signal] = (await once(gateway, 'exit')) as [number | null, NodeJS.Signals | null]
  return code ?? 128 + constants.signals[signal ?? 'SIGKILL']
}

/** False also for a PORT that is none: the gateway names that mistake with its line in cardea.yaml. */
async function isTaken(port: number): Promise<boolean> {
  const probe = createServer()
  try {
    probe.listen(port, '127.0.0.1')
    await once(probe, 'listening')
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
  }
  probe.close()
  await once(probe, 'close')
  return false
}

process.exitCode = await main()
