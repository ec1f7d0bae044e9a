import { caddy } from './caddy.ts'
import { cardea } from './cardea.ts'
import { fastifyHttpProxy } from './fastify-http-proxy.ts'
import { haproxy } from './haproxy.ts'
import { httpProxy } from './http-proxy.ts'
import { nginx, nginxLargeBuffers } from './nginx.ts'
import type { Peer } from './peer.ts'

export const PEERS: readonly Peer[] = [
  cardea,
  nginx,
  nginxLargeBuffers,
  haproxy,
  caddy,
  httpProxy,
  fastifyHttpProxy,
]
