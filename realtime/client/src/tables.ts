// Code generated from sql/migrations by server/e2e/tables_test.go (go test ./server/e2e -run TestSQL -update). DO NOT EDIT.
/**
 * The tables and verbs that a signed-in person may use, for supabase-js:
 *
 *     const supabase = createClient<VigilDatabase>(url, key)
 *
 * Only granted columns are named. Row-level security decides on rows; what comes back is still only as true as the database.
 */
export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type VigilDatabase = {
  public: {
    Tables: {
      alert_events: {
        Row: {
          actor_id: string | null; alert_id: string; created_at: string; id: string; kind: 'raised' | 'acknowledged' | 'resolved' | 'reopened'; organization_id: string
          session_id: string; version: number
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'alert_events_alert_id_session_id_organization_id_fkey'; columns: ['alert_id', 'session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'alerts'; referencedColumns: ['id', 'session_id', 'organization_id'] },
        ]
      }
      alert_pages: {
        Row: {
          alert_id: string; attempts: number; created_at: string; last_error: string | null; level: number | null; next_attempt_at: string
          organization_id: string; sent_at: string | null; session_id: string; status: 'pending' | 'sent' | 'failed'; step: number
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'alert_pages_alert_id_session_id_organization_id_fkey'; columns: ['alert_id', 'session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'alerts'; referencedColumns: ['id', 'session_id', 'organization_id'] },
        ]
      }
      alert_recipients: {
        Row: {
          alert_id: string; created_at: string; ended_at: string | null; organization_id: string; reason: 'therapist' | 'on_call' | 'supervisor'; session_id: string
          user_id: string
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'alert_recipients_alert_id_session_id_organization_id_fkey'; columns: ['alert_id', 'session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'alerts'; referencedColumns: ['id', 'session_id', 'organization_id'] },
        ]
      }
      alerts: {
        Row: {
          assessment_id: string; id: string; level: number | null; message_id: string; model_version: string | null; organization_id: string
          policy_version: number | null; raised_at: string; ruleset_version: string | null; session_id: string; source: string; status: 'open' | 'acknowledged' | 'resolved'
          text_shared: boolean; updated_at: string; version: number
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'alerts_assessment_id_session_id_organization_id_fkey'; columns: ['assessment_id', 'session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'assessments'; referencedColumns: ['id', 'session_id', 'organization_id'] },
          { foreignKeyName: 'alerts_message_id_fkey'; columns: ['message_id']; isOneToOne: false; referencedRelation: 'messages'; referencedColumns: ['id'] },
          { foreignKeyName: 'alerts_session_id_organization_id_fkey'; columns: ['session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id', 'organization_id'] },
        ]
      }
      assessments: {
        Row: {
          abuse: boolean | null; abuse_score: number | null; alert: boolean; created_at: string; distress: boolean | null; distress_score: number | null
          emotions: string[]; escalate: boolean; evidence: Json; hard: string[]; harm_others: boolean | null; harm_others_score: number | null
          id: string; items: string[] | null; language: string | null; level: number | null; message_id: string; model_version: string | null
          organization_id: string; policy_version: number | null; position: number; reason: string | null; risk_score: number | null; ruleset_version: string | null
          sentiment: number | null; session_id: string; source: string; status: 'assessed' | 'not_assessed'; superseded_at: string | null; topics: string[]
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'assessments_message_id_fkey'; columns: ['message_id']; isOneToOne: false; referencedRelation: 'messages'; referencedColumns: ['id'] },
          { foreignKeyName: 'assessments_session_id_organization_id_fkey'; columns: ['session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id', 'organization_id'] },
        ]
      }
      attachments: {
        Row: {
          bytes: number; created_at: string; device_id: string; id: string; organization_id: string; session_id: string
          sha256: string; user_id: string
        }
        Insert: { bytes: number; device_id: string; id: string; session_id: string; sha256: string }
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'attachments_device_id_fkey'; columns: ['device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'attachments_session_id_organization_id_fkey'; columns: ['session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id', 'organization_id'] },
        ]
      }
      audit_log: {
        Row: {
          action: string; actor_id: string | null; actor_kind: 'user' | 'service' | 'sidecar' | 'operator'; at: string; details: Json; hash: string
          organization_id: string; previous_hash: string; seq: number; subject_id: string; subject_table: string
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: []
      }
      consent_texts: {
        Row: {
          body: string; language: string; organization_id: string; published_at: string; retired_at: string | null; scope: string[]
          text_hash: string; version: number
        }
        Insert: { body: string; language: string; organization_id: string; scope: string[] }
        Update: { retired_at?: string | null }
        Relationships: [
          { foreignKeyName: 'consent_texts_organization_id_fkey'; columns: ['organization_id']; isOneToOne: false; referencedRelation: 'organizations'; referencedColumns: ['id'] },
        ]
      }
      contact_points: {
        Row: {
          kind: 'phone' | 'email' | 'address' | 'other'; note: string | null; organization_id: string; updated_at: string; updated_by: string | null; user_id: string
          value: string
        }
        Insert: { kind: 'phone' | 'email' | 'address' | 'other'; note?: string | null; organization_id: string; user_id?: string; value: string }
        Update: { note?: string | null; value?: string }
        Relationships: [
          { foreignKeyName: 'contact_points_organization_id_user_id_fkey'; columns: ['organization_id', 'user_id']; isOneToOne: false; referencedRelation: 'memberships'; referencedColumns: ['organization_id', 'user_id'] },
        ]
      }
      crisis_policies: {
        Row: {
          organization_id: string; page_at_level: number; page_categories: string[]; page_least_abuse: number; page_least_distress: number; page_least_harm_others: number
          page_least_self_harm: number; quiet_rules: string[]; review_at_level: number; review_categories: string[]; review_least_abuse: number; review_least_distress: number
          review_least_harm_others: number; review_least_self_harm: number; review_rules: string[]; terms_version: number; updated_at: string; version: number
        }
        Insert: Record<string, never>
        Update: {
          page_at_level?: number; page_categories?: string[]; page_least_abuse?: number; page_least_distress?: number; page_least_harm_others?: number; page_least_self_harm?: number
          quiet_rules?: string[]; review_at_level?: number; review_categories?: string[]; review_least_abuse?: number; review_least_distress?: number; review_least_harm_others?: number
          review_least_self_harm?: number; review_rules?: string[]
        }
        Relationships: [
          { foreignKeyName: 'crisis_policies_organization_id_fkey'; columns: ['organization_id']; isOneToOne: true; referencedRelation: 'organizations'; referencedColumns: ['id'] },
        ]
      }
      device_signatures: {
        Row: {
          by_device_id: string; created_at: string; device_id: string; id: string; refusal: 'format' | 'signature' | 'signer' | null; refused_at: string | null
          signature: string; user_id: string | null
        }
        Insert: { by_device_id: string; device_id: string; id?: string; signature: string; user_id?: string | null }
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'device_signatures_by_device_id_fkey'; columns: ['by_device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'device_signatures_device_id_fkey'; columns: ['device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
        ]
      }
      devices: {
        Row: {
          admission: 'first' | 'signed' | 'reset' | 'sidecar' | null; admitted_at: string | null; admitted_by: string | null; created_at: string; enc_pub: string; id: string
          kind: 'participant' | 'recovery' | 'analysis'; label: string | null; retired_at: string | null; revoked_at: string | null; sig_pub: string; user_id: string | null
        }
        Insert: { enc_pub: string; id?: string; kind?: 'participant' | 'recovery' | 'analysis'; label?: string | null; sig_pub: string; user_id?: string | null }
        Update: { label?: string | null; revoked_at?: string | null }
        Relationships: [
          { foreignKeyName: 'devices_admitted_by_fkey'; columns: ['admitted_by']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
        ]
      }
      epoch_readers: {
        Row: {
          alert_id: string | null; by_device_id: string; created_at: string; device_id: string; ended_at: string | null; epoch: number
          organization_id: string; reason: 'crisis_access' | 'history'; role: number; session_id: string; signature: string; user_id: string
          wrap_hash: string | null
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'epoch_readers_by_device_id_fkey'; columns: ['by_device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'epoch_readers_device_id_fkey'; columns: ['device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'epoch_readers_session_id_epoch_fkey'; columns: ['session_id', 'epoch']; isOneToOne: false; referencedRelation: 'session_epochs'; referencedColumns: ['session_id', 'epoch'] },
        ]
      }
      epoch_wraps: {
        Row: {
          created_at: string; device_id: string; epoch: number; organization_id: string; role: number; session_id: string
          wrap: string
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'epoch_wraps_device_id_fkey'; columns: ['device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'epoch_wraps_session_id_epoch_fkey'; columns: ['session_id', 'epoch']; isOneToOne: false; referencedRelation: 'session_epochs'; referencedColumns: ['session_id', 'epoch'] },
        ]
      }
      erasures: {
        Row: {
          audit_hash: string | null; audit_seq: number | null; counts: Json; created_at: string; done_at: string | null; id: string
          kind: 'session' | 'person'; objects_left: number | null; organization_id: string; part_of: string | null; people: string[]; person_id: string | null
          requested_by: string | null; session_id: string | null; shredded_at: string | null; status: 'requested' | 'shredded' | 'done'
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: []
      }
      former_wraps: {
        Row: {
          by_device_id: string; device_id: string; epoch: number; given_at: string; organization_id: string; replaced_at: string
          session_id: string; signature: string; wrap: string
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'former_wraps_session_id_epoch_device_id_fkey'; columns: ['session_id', 'epoch', 'device_id']; isOneToOne: false; referencedRelation: 'epoch_wraps'; referencedColumns: ['session_id', 'epoch', 'device_id'] },
        ]
      }
      memberships: {
        Row: { ended_at: string | null; organization_id: string; role: 'client' | 'therapist' | 'supervisor' | 'admin'; started_at: string; user_id: string }
        Insert: { ended_at?: string | null; organization_id: string; role: 'client' | 'therapist' | 'supervisor' | 'admin'; started_at?: string; user_id: string }
        Update: { ended_at?: string | null; role?: 'client' | 'therapist' | 'supervisor' | 'admin' }
        Relationships: [
          { foreignKeyName: 'memberships_organization_id_fkey'; columns: ['organization_id']; isOneToOne: false; referencedRelation: 'organizations'; referencedColumns: ['id'] },
        ]
      }
      message_arrivals: {
        Row: {
          created_at: string; epoch: number; message_id: string; organization_id: string; position: number; sender_device_id: string
          sender_id: string; seq: number; session_id: string
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'message_arrivals_message_id_fkey'; columns: ['message_id']; isOneToOne: true; referencedRelation: 'messages'; referencedColumns: ['id'] },
          { foreignKeyName: 'message_arrivals_session_id_fkey'; columns: ['session_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id'] },
        ]
      }
      message_scores: {
        Row: {
          abuse: boolean; after_position: number; alert: boolean; created_at: string; device_id: string; disagrees: boolean
          distress: boolean; epoch: number; escalate: boolean; hard: string[]; harm_others: boolean; items: string[]
          level: number; message_id: string; model_version: string; organization_id: string; position: number; rules: string[]
          ruleset_version: string; scores: number[]; session_id: string; side: 'sender' | 'clinician'; signature: string; user_id: string
        }
        Insert: {
          abuse: boolean; after_position: number; alert: boolean; device_id: string; distress: boolean; escalate: boolean
          hard: string[]; harm_others: boolean; items: string[]; level: number; message_id: string; model_version: string
          rules: string[]; ruleset_version: string; scores: number[]; side: 'sender' | 'clinician'; signature: string
        }
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'message_scores_device_id_fkey'; columns: ['device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'message_scores_message_id_fkey'; columns: ['message_id']; isOneToOne: false; referencedRelation: 'messages'; referencedColumns: ['id'] },
          { foreignKeyName: 'message_scores_session_id_organization_id_fkey'; columns: ['session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id', 'organization_id'] },
        ]
      }
      messages: {
        Row: {
          assisted: boolean; body: string; created_at: string; epoch: number; id: string; organization_id: string
          position: number; previous_assisted_position: number | null; sender_device_id: string; sender_id: string; seq: number; session_id: string
        }
        Insert: { body: string; epoch: number; id: string; sender_device_id: string; seq: number; session_id: string }
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'messages_sender_device_id_fkey'; columns: ['sender_device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'messages_session_id_epoch_fkey'; columns: ['session_id', 'epoch']; isOneToOne: false; referencedRelation: 'session_epochs'; referencedColumns: ['session_id', 'epoch'] },
          { foreignKeyName: 'messages_session_id_organization_id_fkey'; columns: ['session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id', 'organization_id'] },
        ]
      }
      model_routes: {
        Row: {
          created_at: string; enabled: boolean; model: string; organization_id: string; provider: string; task: string
          updated_at: string
        }
        Insert: { enabled?: boolean; model: string; organization_id: string; provider: string; task: string }
        Update: { enabled?: boolean; model?: string; provider?: string }
        Relationships: [
          { foreignKeyName: 'model_routes_organization_id_fkey'; columns: ['organization_id']; isOneToOne: false; referencedRelation: 'organizations'; referencedColumns: ['id'] },
        ]
      }
      oncall_shifts: {
        Row: { ends_at: string; flagged_at: string | null; organization_id: string; starts_at: string; user_id: string }
        Insert: { ends_at: string; organization_id: string; starts_at: string; user_id: string }
        Update: { ends_at?: string }
        Relationships: [
          { foreignKeyName: 'oncall_shifts_organization_id_user_id_fkey'; columns: ['organization_id', 'user_id']; isOneToOne: false; referencedRelation: 'memberships'; referencedColumns: ['organization_id', 'user_id'] },
        ]
      }
      organizations: {
        Row: { created_at: string; id: string; name: string; require_aal2: boolean; suggestions: 'off' | 'on_demand' | 'elevated' }
        Insert: Record<string, never>
        Update: { name?: string; require_aal2?: boolean; suggestions?: 'off' | 'on_demand' | 'elevated' }
        Relationships: []
      }
      profiles: {
        Row: { created_at: string; display_name: string; user_id: string }
        Insert: { display_name: string; user_id: string }
        Update: { display_name?: string }
        Relationships: []
      }
      recovery_keys: {
        Row: {
          age_recipient: string; created_at: string; device_id: string; kdf: string; lanes: number; memory_kib: number
          passes: number; salt: string; user_id: string; version: number; wrapped: string
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'recovery_keys_device_id_fkey'; columns: ['device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
        ]
      }
      session_consents: {
        Row: {
          device_id: string; given_at: string; id: string; organization_id: string; scope: string[]; session_id: string
          signature: string; text_hash: string; user_id: string; withdrawal_signature: string | null; withdrawn_at: string | null
        }
        Insert: {
          device_id: string; id?: string; organization_id: string; scope: string[]; session_id: string; signature: string
          text_hash: string; user_id: string
        }
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'session_consents_device_id_fkey'; columns: ['device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'session_consents_session_id_organization_id_fkey'; columns: ['session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id', 'organization_id'] },
        ]
      }
      session_epochs: {
        Row: {
          assisted: boolean; consent_id: string | null; created_at: string; device_id: string; epoch: number; key_commit: string
          organization_id: string; roster: Json; roster_hash: string; session_id: string; signature: string; suite: number
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'session_epochs_device_id_fkey'; columns: ['device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'session_epochs_session_id_consent_id_fkey'; columns: ['session_id', 'consent_id']; isOneToOne: false; referencedRelation: 'session_consents'; referencedColumns: ['session_id', 'id'] },
          { foreignKeyName: 'session_epochs_session_id_organization_id_fkey'; columns: ['session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id', 'organization_id'] },
        ]
      }
      session_participants: {
        Row: { ended_at: string | null; joined_at: string; organization_id: string; role: 'client' | 'therapist'; session_id: string; user_id: string }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'session_participants_organization_id_user_id_fkey'; columns: ['organization_id', 'user_id']; isOneToOne: false; referencedRelation: 'memberships'; referencedColumns: ['organization_id', 'user_id'] },
          { foreignKeyName: 'session_participants_session_id_organization_id_fkey'; columns: ['session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id', 'organization_id'] },
        ]
      }
      session_progress: {
        Row: { organization_id: string; session_id: string; topics: Json | null; updated_at: string }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'session_progress_session_id_fkey'; columns: ['session_id']; isOneToOne: true; referencedRelation: 'sessions'; referencedColumns: ['id'] },
        ]
      }
      sessions: {
        Row: {
          created_at: string; created_by: string | null; ended_at: string | null; id: string; min_epoch: number; mode: 'strict' | 'assisted'
          organization_id: string; scheduled_for: string | null; started_at: string | null; status: 'scheduled' | 'active' | 'paused' | 'ended'
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'sessions_organization_id_fkey'; columns: ['organization_id']; isOneToOne: false; referencedRelation: 'organizations'; referencedColumns: ['id'] },
        ]
      }
      suggestion_seals: {
        Row: {
          created_at: string; device_id: string; message_id: string; organization_id: string; sealed: string; session_id: string
          signature: string; suggestion_id: string; user_id: string
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'suggestion_seals_device_id_fkey'; columns: ['device_id']; isOneToOne: false; referencedRelation: 'devices'; referencedColumns: ['id'] },
          { foreignKeyName: 'suggestion_seals_suggestion_id_session_id_organization_id_fkey'; columns: ['suggestion_id', 'session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'suggestions'; referencedColumns: ['id', 'session_id', 'organization_id'] },
        ]
      }
      suggestions: {
        Row: {
          bank_version: string | null; created_at: string; decided_at: string | null; decided_by: string | null; id: string; message_id: string
          model: string | null; move: string | null; organization_id: string; reason: 'off' | 'strict' | 'no_consent' | 'no_device' | 'not_opened' | 'busy' | 'model_failed' | 'nothing_fits' | null; requested_by: string | null; sent_message_id: string | null
          session_id: string; source: 'bank' | 'model' | null; status: 'requested' | 'offered' | 'accepted' | 'edited' | 'rejected' | 'withdrawn' | 'not_made'; updated_at: string; version: number
        }
        Insert: Record<string, never>
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'suggestions_message_id_fkey'; columns: ['message_id']; isOneToOne: false; referencedRelation: 'messages'; referencedColumns: ['id'] },
          { foreignKeyName: 'suggestions_sent_message_id_fkey'; columns: ['sent_message_id']; isOneToOne: false; referencedRelation: 'messages'; referencedColumns: ['id'] },
          { foreignKeyName: 'suggestions_session_id_organization_id_fkey'; columns: ['session_id', 'organization_id']; isOneToOne: false; referencedRelation: 'sessions'; referencedColumns: ['id', 'organization_id'] },
        ]
      }
      topic_terms: {
        Row: { created_at: string; language: string; organization_id: string; term: string; topic: string }
        Insert: { language?: string; organization_id: string; term: string; topic: string }
        Update: Record<string, never>
        Relationships: [
          { foreignKeyName: 'topic_terms_organization_id_fkey'; columns: ['organization_id']; isOneToOne: false; referencedRelation: 'crisis_policies'; referencedColumns: ['organization_id'] },
        ]
      }
    }
    Views: Record<never, never>
    Functions: {
      acknowledge_alert: { Args: { alert_id: string; version: number }; Returns: VigilDatabase['public']['Tables']['alerts']['Row'] }
      change_session_mode: { Args: { session_id: string; mode: string }; Returns: VigilDatabase['public']['Tables']['sessions']['Row'] }
      create_epoch: { Args: {
          session_id: string; epoch: number; device_id: string; roster: Json; roster_hash: string; key_commit: string
          signature: string; consent_id: string; wraps: Json
        }; Returns: VigilDatabase['public']['Tables']['session_epochs']['Row'] }
      create_session: { Args: { organization_id: string; client_id: string; mode: string; scheduled_for?: string }; Returns: VigilDatabase['public']['Tables']['sessions']['Row'] }
      decide_suggestion: { Args: { suggestion_id: string; decision: string; version: number; sent_message_id?: string }; Returns: VigilDatabase['public']['Tables']['suggestions']['Row'] }
      end_session: { Args: { session_id: string }; Returns: VigilDatabase['public']['Tables']['sessions']['Row'] }
      pause_session: { Args: { session_id: string }; Returns: VigilDatabase['public']['Tables']['sessions']['Row'] }
      remove_recovery: { Args: Record<string, never>; Returns: undefined }
      report_refusal: { Args: { session_id: string; subject_table: string; subject_id: string; reason: string }; Returns: undefined }
      request_erasure: { Args: { session_id?: string; organization_id?: string }; Returns: VigilDatabase['public']['Tables']['erasures']['Row'] }
      request_suggestion: { Args: { session_id: string }; Returns: VigilDatabase['public']['Tables']['suggestions']['Row'] }
      reset_devices: { Args: { device_id: string }; Returns: VigilDatabase['public']['Tables']['devices']['Row'] }
      resolve_alert: { Args: { alert_id: string; version: number }; Returns: VigilDatabase['public']['Tables']['alerts']['Row'] }
      restore_epochs: { Args: { device_id: string; formers: Json }; Returns: number }
      resume_session: { Args: { session_id: string }; Returns: VigilDatabase['public']['Tables']['sessions']['Row'] }
      rewrap_recovery: { Args: { key: Json }; Returns: number }
      set_recovery: { Args: { device: Json; signature: Json; key: Json }; Returns: VigilDatabase['public']['Tables']['devices']['Row'] }
      share_epochs: { Args: { device_id: string; by_device_id: string; shares: Json }; Returns: number }
      start_session: { Args: { session_id: string }; Returns: VigilDatabase['public']['Tables']['sessions']['Row'] }
      withdraw_consent: { Args: { consent_id: string; signature: string }; Returns: VigilDatabase['public']['Tables']['session_consents']['Row'] }
    }
    Enums: Record<never, never>
    CompositeTypes: Record<never, never>
  }
}
