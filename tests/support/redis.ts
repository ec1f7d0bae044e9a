import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { freePort } from './free-port.ts'
import { waitFor } from './wait-for.ts'

/** A redis-server of a test: it keeps nothing on disk, and can be killed and started again on the same port. */
export class TestRedis implements AsyncDisposable {
  readonly port: number
  readonly #program: string
  #child: ChildProcess | null = null

  private constructor(program: string, port: number) {
    this.#program = program
    this.port = port
  }

  /** `program`: what `requireProgram(t, 'redis-server')` gave. */
  static async start(program: string): Promise<TestRedis> {
    const redis = new TestRedis(program, await freePort())
    await redis.start()
    return redis
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** `more`: options of redis-server besides. */
  async start(more: readonly string[] = []): Promise<void> {
    const options = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
    this.#child = spawn(this.#program, [...options, ...more], { stdio: 'ignore' })
    // With a password it says NOAUTH; it is there all the same.
    await waitFor(
      () => this.command('PING').then((answer) => /^(\+PONG|-NOAUTH)/.test(answer)),
      'redis-server',
    )
  }

  /** Kills it as a crash would. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** From now on it takes what it is sent and answers nothing. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  /** One command by words without blanks, after AUTH where there is a password, and the answer as it is on the wire. */
  async command(line: string, password?: string): Promise<string> {
    const socket = connect(this.port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      if (password !== undefined) {
        socket.write(`AUTH ${password}\r\n`)
        await once(socket, 'data')
      }
      socket.write(`${line}\r\n`)
      const [data] = (await once(socket, 'data')) as [Buffer]
      return data.toString()
    } finally {
      socket.destroy()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}
