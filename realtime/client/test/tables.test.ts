/** What createClient<VigilDatabase> knows: held by the compiler here, and to the migrations by server/e2e/tables_test.go. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { expect, expectTypeOf, test } from 'vitest'
import { parseMessage, type MessageRow } from '../src/rows.ts'
import { vigil } from '../src/vigil.ts'
import type { VigilDatabase } from '../src/tables.ts'

type Tables = VigilDatabase['public']['Tables']

test('a typed client knows rows, what may be given, and verbs', () => {
  const auth = { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false }
  const supabase = createClient<VigilDatabase>('http://supabase.test', 'key', { auth })
  const read = async () => (await supabase.from('messages').select('id,position,body')).data
  expectTypeOf(read).returns.resolves.toEqualTypeOf<{ id: string; position: number; body: string }[] | null>()
  const session = async () => (await supabase.rpc('start_session', { session_id: '' })).data
  expectTypeOf(session).returns.resolves.toExtend<Pick<Tables['sessions']['Row'], 'id' | 'status'> | null>()
  const send = (row: Tables['messages']['Insert']) => supabase.from('messages').insert(row)
  expectTypeOf(send).parameter(0).toEqualTypeOf<{ id: string; session_id: string; sender_device_id: string; epoch: number; seq: number; body: string }>()
  expectTypeOf<Tables['sessions']['Row']['mode']>().toEqualTypeOf<'strict' | 'assisted'>()
  expectTypeOf<keyof Tables['devices']['Update']>().toEqualTypeOf<'label' | 'revoked_at'>()
  // @ts-expect-error: nobody who is signed in may read what the sidecar keeps for itself.
  expectTypeOf<Tables['sidecar_state']>().toBeNever()
  // @ts-expect-error: no such column
  const wrong = () => supabase.from('messages').insert({ colour: 'blue' })
  expect(wrong).toBeTypeOf('function')
})

test('a typed client is one that vigil() takes, and its rows are what the parsers read', () => {
  expectTypeOf<SupabaseClient<VigilDatabase>>().toExtend<Parameters<typeof vigil>[0]>()
  expectTypeOf<Pick<Tables['messages']['Row'], 'id' | 'position' | 'epoch' | 'seq' | 'body'>>().toEqualTypeOf<
    { -readonly [Name in 'id' | 'position' | 'epoch' | 'seq' | 'body']: MessageRow[Name] }
  >()
  const id = '00000000-0000-4000-8000-000000000000'
  const row: Tables['messages']['Row'] = {
    id, session_id: id, organization_id: id, sender_id: id, sender_device_id: id, epoch: 1, seq: 0, position: 1, assisted: false, body: '', created_at: '',
    previous_assisted_position: null,
  }
  expect(parseMessage(row).position).toBe(1)
})
