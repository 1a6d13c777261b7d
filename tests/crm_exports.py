# ruff: noqa: E501 - tables of labels, a line a column
"""One small made-up company, described once, and its exports as three CRMs would write them.

Headers stand here as the CRMs show them, apart from the mappings that read them. `exports(crm, language)` gives
the rows of each file with typed cells; `write(folder, files, form)` writes them as CSV, ``;``-CSV with decimal comma
and byte order mark, XLSX or Parquet. `expected` says what any of them must load to, by a plain loop.
"""

import csv
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import openpyxl
import pandas as pd

BERLIN = ZoneInfo("Europe/Berlin")
LANGUAGES = {
    "hubspot": ("api", "connector", "en", "de", "nl", "fr", "es"),
    "pipedrive": ("api", "en", "de", "nl", "fr", "es", "cs"),
    "dynamics": ("api", "en", "de"),
}
FORMS = ("csv", "semicolon", "xlsx", "parquet")
UI = ("en", "de", "nl", "fr", "es", "cs")

USERS = {"11": "Ann Adler", "12": "Bob Baker", "13": "Cem Çelik"}
ACCOUNTS = {"21": "Acme GmbH", "22": "Bolt Ltd", "23": "Čapek s.r.o.", "24": "Dune, Inc."}
STAGES = {"1": ("Qualified", "Proposal", "Negotiation"), "2": ("Review", "Offer")}
PIPELINES = {"1": "Sales", "2": "Renewals"}
CHANCES = {"Qualified": 20, "Proposal": 40, "Negotiation": 80, "Review": 30, "Offer": 60}


def at(text: str) -> datetime:
    """An instant, written in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class Deal:
    """A deal as it stands at export; `changes` are (instant, field, old, new), `end` being won, lost or nothing."""

    id: str
    name: str
    account: str
    owner: str
    created: datetime
    stage: str
    amount: str | None
    expected: date
    pipeline: str = "1"
    currency: str = "EUR"
    status: str = "open"
    reason: str | None = None
    category: str | None = None
    deleted: bool = False
    merged_into: str | None = None
    changes: tuple = ()
    closed: datetime | None = field(init=False)

    def __post_init__(self):
        ends = [when for when, what, _, new in self.changes if what == "end" and new]
        self.closed = ends[-1] if self.status != "open" else None

    @property
    def number(self) -> Decimal | None:
        return None if self.amount is None else Decimal(self.amount)

    def then(self, moment: datetime) -> dict:
        """What it was at an instant: every later change undone."""
        now = {
            "stage": self.stage,
            "amount": self.amount,
            "expected": self.expected,
            "owner": self.owner,
            "end": None if self.status == "open" else self.status,
        }
        for when, what, old, _ in sorted(self.changes, key=lambda change: change[0], reverse=True):
            if when > moment:
                now[what] = old
        return now


DEALS = [
    Deal("101", "Alpha", "21", "11", at("2025-01-10T09:00"), "Proposal", "12500.50", date(2025, 3, 31), status="won",
         changes=((at("2025-01-20T10:00"), "stage", "Qualified", "Proposal"),
                  (at("2025-03-20T23:30"), "amount", "10000.00", "12500.50"), (at("2025-03-20T23:30"), "end", None, "won"))),
    Deal("102", "Beta", "22", "12", at("2025-01-15T08:30"), "Qualified", "800.00", date(2025, 2, 28), status="lost",
         reason="Price", changes=((at("2025-02-14T15:00"), "end", None, "lost"),)),
    Deal("103", "Gamma", "23", "13", at("2025-01-31T23:30"), "Negotiation", "1234567.89", date(2025, 6, 30), category="commit",
         changes=((at("2025-02-10T10:00"), "stage", "Qualified", "Proposal"), (at("2025-03-01T11:15"), "expected", date(2025, 3, 31), date(2025, 6, 30)),
                  (at("2025-03-15T09:00"), "stage", "Proposal", "Negotiation"))),
    Deal("104", "Delta", "24", "11", at("2025-02-03T12:00"), "Qualified", None, date(2025, 5, 15)),
    Deal("105", "Epsilon", "21", "12", at("2025-01-05T10:00"), "Proposal", "5000.00", date(2025, 4, 15), status="won",
         changes=((at("2025-02-01T10:00"), "end", None, "lost"), (at("2025-03-05T10:00"), "end", "lost", None),
                  (at("2025-03-05T10:01"), "stage", "Qualified", "Proposal"), (at("2025-04-02T16:20"), "end", None, "won"))),
    Deal("106", "Zeta", "22", "12", at("2025-02-20T14:00"), "Proposal", "7000.10", date(2025, 7, 31), currency="USD", category="best_case",
         changes=((at("2025-02-25T14:00"), "stage", "Qualified", "Proposal"), (at("2025-03-10T10:00"), "owner", "11", "12"))),
    Deal("107", "Eta", "23", "13", at("2025-02-01T10:00"), "Offer", "4200.00", date(2025, 3, 31), pipeline="2", status="won",
         changes=((at("2025-02-15T10:00"), "stage", "Review", "Offer"), (at("2025-03-28T10:30"), "end", None, "won"))),
    Deal("108", "Theta", "24", "11", at("2025-02-05T10:00"), "Offer", "990.99", date(2025, 5, 31), pipeline="2",
         changes=((at("2025-03-12T10:00"), "stage", "Review", "Offer"), (at("2025-03-30T08:00"), "amount", "1000.00", "990.99"))),
    Deal("109", "Iota", "22", "13", at("2025-02-11T10:00"), "Qualified", "50.00", date(2025, 4, 30), deleted=True),
    Deal("110", "Kappa", "23", "13", at("2025-02-12T10:00"), "Qualified", "60.00", date(2025, 4, 29), deleted=True, merged_into="103"),
    Deal("111", "Lambda", "21", "11", at("2025-03-03T10:00"), "Review", "70.25", date(2025, 4, 13), pipeline="2", status="lost",
         changes=((at("2025-04-05T07:45"), "end", None, "lost"),)),
    Deal("112", 'Mü "Ltd"; Übermut', "24", "12", at("2025-03-31T22:30"), "Qualified", "3.14", date(2025, 8, 17)),
]  # fmt: skip
PAST = (date(2025, 2, 28), date(2025, 3, 31))


@dataclass
class Action:
    """An activity: kind, deal, who, when, how long."""

    id: str
    kind: str
    deal: str
    user: str
    start: datetime
    lasted: timedelta
    done: bool = True


ACTIONS = [
    Action("901", "call", "101", "11", at("2025-02-03T08:15"), timedelta(minutes=30)),
    Action("902", "call", "103", "13", at("2025-03-31T22:10"), timedelta(minutes=75)),
    Action("903", "meeting", "106", "12", at("2025-03-18T13:00"), timedelta(hours=1)),
    Action("904", "task", "108", "11", at("2025-05-20T09:00"), timedelta(minutes=15), done=False),
]
LEADS = [("31", at("2025-01-02T09:00"), "11", "Trade fair"), ("32", at("2025-02-28T23:15"), "12", "Web")]


def present(crm: str, language: str) -> list[Deal]:
    """The deals an export shows: list views leave out what is gone, Dynamics forgets it."""
    whole = crm == "pipedrive" or (language in ("api", "connector") and crm == "hubspot")
    return [deal for deal in DEALS if whole or not deal.deleted]


def shown(stage: str, end: str | None) -> str:
    return end or stage


def end_of(day: date) -> datetime:
    """The last moment of a day in the company's time zone."""
    return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=BERLIN).astimezone(UTC)


def day_of(moment: datetime | None) -> date | None:
    return moment and moment.astimezone(BERLIN).date()


def due(crm: str, deal: Deal, moment: datetime) -> date:
    """The expected close at an instant; HubSpot overwrites it when a deal closes, and a reopened one keeps that."""
    if crm == "hubspot":
        told = [(when, new) for when, what, _, new in deal.changes if what == "expected" and when <= moment]
        told += [
            (when, day_of(when)) for when, what, _, new in deal.changes if what == "end" and new and when <= moment
        ]
        if told:
            return max(told)[1]
    return deal.then(moment)["expected"]


def expected(crm: str, language: str) -> dict:
    """What every export of the company must load to, names for ids."""
    deals = present(crm, language)
    names = {deal.id: deal.name for deal in DEALS}
    return {
        "users": set(USERS.values()),
        "accounts": set(ACCOUNTS.values()),
        "deals": {
            deal.name: {
                "amount": deal.number,
                "currency": deal.currency,
                "account": ACCOUNTS[deal.account],
                "owner": USERS[deal.owner],
                "pipeline": deal.pipeline,
                "stage": shown(deal.stage, deal.then(at("2030-01-01"))["end"]),
                "closed": deal.status != "open",
                "won": deal.status == "won",
                "created": deal.created,
                "expected": due(crm, deal, at("2025-04-30T10:00")),
                "closed_at": deal.closed,
                "close_date": day_of(deal.closed),
                "probability": CHANCES[deal.stage] / 100 if deal.status == "open" else None,
                "reason": deal.reason,
                "deleted": deal.deleted,
                "merged_into": names[deal.merged_into] if deal.merged_into and crm == "hubspot" else None,
                "category": deal.category if crm != "pipedrive" else None,
                "type": None if crm != "hubspot" else "new" if deal.pipeline == "1" else "expansion",
            }
            for deal in deals
        },
        "past": {
            day: {
                deal.name: {
                    "stage": shown(then["stage"], then["end"]),
                    "amount": None if then["amount"] is None else Decimal(then["amount"]),
                    "expected": due(crm, deal, end_of(day)),
                    "owner": USERS[then["owner"]],
                    "closed": then["end"] is not None,
                    "won": then["end"] == "won",
                    "deleted": False,
                }
                for deal in deals
                if deal.created <= end_of(day)
                for then in [deal.then(end_of(day))]
            }
            for day in PAST
        },
        "activities": {
            (one.kind, USERS[one.user], names[one.deal], one.start, one.lasted.total_seconds())
            for one in ACTIONS
            if one.done
        },
        "leads": {(when, USERS[who], source) for _, when, who, source in LEADS},
    }


def labelled(rows: list[dict], headers: dict[str, tuple[str, ...]], language: str) -> list[dict]:
    """Give columns the label of a language; those without one keep their name."""
    at = UI.index(language) if language in UI else None
    name = {api: labels[at] for api, labels in headers.items()} if at is not None else {}
    return [{name.get(column, column): cell for column, cell in row.items()} for row in rows]


def local(moment: datetime | None) -> datetime | None:
    """How a list view shows an instant: company time, no zone."""
    return moment and moment.astimezone(BERLIN).replace(tzinfo=None)


def clock(moment: datetime | None) -> str | None:
    """How Pipedrive's API writes an instant: UTC, and no zone."""
    return moment and moment.strftime("%Y-%m-%d %H:%M:%S")


def utc(moment: datetime | None) -> str | None:
    return moment and moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(moment: datetime | date) -> str:
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, 12, tzinfo=UTC)
    return str(int(moment.timestamp() * 1000))


HUBSPOT_STAGES = {
    "1": {"Qualified": "qualifiedtobuy", "Proposal": "presentationscheduled", "Negotiation": "contractsent", "won": "closedwon", "lost": "closedlost"},
    "2": {"Review": "7711", "Offer": "7712", "won": "7718", "lost": "7719"},
}  # fmt: skip
HUBSPOT_DEALS = {
    "hs_object_id": ("Record ID", "Datensatz-ID", "Record-ID", "ID de l'enregistrement", "ID de registro"),
    "dealname": ("Deal Name", "Deal-Name", "Dealnaam", "Nom de la transaction", "Nombre del negocio"),
    "pipeline": ("Pipeline", "Pipeline", "Pipeline", "Pipeline", "Pipeline"),
    "dealstage": ("Deal Stage", "Deal-Phase", "Dealfase", "Phase de la transaction", "Etapa del negocio"),
    "amount": ("Amount", "Betrag", "Bedrag", "Montant", "Cantidad"),
    "deal_currency_code": ("Currency", "Währung", "Valuta", "Devise", "Moneda"),
    "closedate": ("Close Date", "Abschlussdatum", "Sluitingsdatum", "Date de fermeture", "Fecha de cierre"),
    "createdate": ("Create Date", "Erstellungsdatum", "Aanmaakdatum", "Date de création", "Fecha de creación"),
    "owner_name": ("Deal owner", "Für Deal zuständiger Mitarbeiter", "Eigenaar van deal", "Propriétaire de la transaction", "Propietario del negocio"),
    "dealtype": ("Deal Type", "Deal-Typ", "Dealtype", "Type de transaction", "Tipo de negocio"),
    "hs_deal_stage_probability": ("Deal probability", "Deal-Wahrscheinlichkeit", "Dealwaarschijnlijkheid", "Probabilité de la transaction", "Probabilidad del negocio"),
    "hs_manual_forecast_category": ("Forecast category", "Prognosekategorie", "Prognosecategorie", "Catégorie de prévision", "Categoría de pronóstico"),
    "closed_lost_reason": ("Closed Lost Reason", "Grund für verlorenen Deal", "Reden voor verloren deal", "Motif de la perte", "Razón de negocio perdido"),
    "associated_company_ids": ("Associated Company IDs", "Zugeordnete Unternehmens-IDs", "Gekoppelde bedrijfs-ID's", "ID d'entreprise associés", "ID de empresas asociadas"),
}  # fmt: skip
HUBSPOT_COMPANIES = {
    "hs_object_id": HUBSPOT_DEALS["hs_object_id"],
    "name": ("Company name", "Unternehmensname", "Bedrijfsnaam", "Nom de l'entreprise", "Nombre de la empresa"),
    "owner_name": ("Company owner", "Für Unternehmen zuständiger Mitarbeiter", "Eigenaar van bedrijf", "Propriétaire de l'entreprise", "Propietario de la empresa"),
    "createdate": HUBSPOT_DEALS["createdate"],
}  # fmt: skip
HUBSPOT_CALLS = {
    "hs_object_id": HUBSPOT_DEALS["hs_object_id"],
    "hs_timestamp": ("Activity date", "Aktivitätsdatum", "Activiteitsdatum", "Date de l'activité", "Fecha de la actividad"),
    "owner_name": ("Activity assigned to", "Aktivität zugewiesen zu", "Activiteit toegewezen aan", "Activité attribuée à", "Actividad asignada a"),
    "associated_deal_ids": ("Associated Deal IDs", "Zugeordnete Deal-IDs", "Gekoppelde deal-ID's", "ID de transaction associés", "ID de negocios asociados"),
    "hs_meeting_start_time": ("Meeting start time", "Startzeit", "Starttijd", "Heure de début", "Hora de inicio"),
    "hs_meeting_end_time": ("Meeting end time", "Endzeit", "Eindtijd", "Heure de fin", "Hora de finalización"),
    "hs_task_status": ("Task status", "Aufgabenstatus", "Taakstatus", "Statut de la tâche", "Estado de la tarea"),
    "hs_call_direction": ("Call direction", "Anrufrichtung", "Gespreksrichting", "Direction de l'appel", "Dirección de la llamada"),
}  # fmt: skip
HUBSPOT_CONTACTS = {
    "hs_object_id": HUBSPOT_DEALS["hs_object_id"],
    "createdate": HUBSPOT_DEALS["createdate"],
    "lifecyclestage": ("Lifecycle Stage", "Lifecycle-Phase", "Levenscyclusfase", "Phase du cycle de vie", "Etapa del ciclo de vida"),
    "owner_name": ("Contact owner", "Für Kontakt zuständiger Mitarbeiter", "Eigenaar van contact", "Propriétaire du contact", "Propietario del contacto"),
    "hs_analytics_source": ("Original Source", "Ursprüngliche Quelle", "Oorspronkelijke bron", "Source d'origine", "Fuente original"),
}  # fmt: skip
HUBSPOT_TYPES = {
    "1": ("New Business", "Neugeschäft", "Nieuwe klanten", "Nouvelle affaire", "Negocio nuevo"),
    "2": ("Existing Business", "Bestandsgeschäft", "Bestaande klanten", "Affaire existante", "Negocio existente"),
}
HUBSPOT_CATEGORIES = {"commit": "COMMIT", "best_case": "BEST_CASE", None: None}


def _hubspot(language: str) -> dict[str, list[dict]]:
    ui, connector = language in UI, language == "connector"
    when = local if ui else clock if connector else utc
    deals = present("hubspot", language)
    prefix = "property_" if connector else ""
    key = {"hs_object_id": "deal_id", "pipeline": "deal_pipeline_id", "dealstage": "deal_pipeline_stage_id",
           "hubspot_owner_id": "owner_id", "archived": "is_deleted"} if connector else {}  # fmt: skip

    def deal_row(deal: Deal) -> dict:
        end = None if deal.status == "open" else deal.status
        stage = HUBSPOT_STAGES[deal.pipeline][end or deal.stage]
        label = {"won": "Closed won", "lost": "Closed lost", None: deal.stage}[end]
        close = deal.closed or datetime(deal.expected.year, deal.expected.month, deal.expected.day, 10, tzinfo=UTC)
        chance = Decimal(CHANCES[deal.stage]) / 100
        row = {
            "hs_object_id": deal.id,
            "dealname": deal.name,
            "pipeline": PIPELINES[deal.pipeline] if ui else deal.pipeline,
            "dealstage": label if ui else stage,
            "amount": deal.number,
            "deal_currency_code": deal.currency,
            "closedate": when(close),
            "createdate": when(deal.created),
            **({"owner_name": USERS[deal.owner]} if ui else {"hubspot_owner_id": deal.owner}),
            "dealtype": HUBSPOT_TYPES[deal.pipeline][UI.index(language)]
            if ui
            else {"1": "newbusiness", "2": "existingbusiness"}[deal.pipeline],
            "hs_deal_stage_probability": None if end else chance,
            "hs_manual_forecast_category": HUBSPOT_CATEGORIES[deal.category],
            "closed_lost_reason": deal.reason,
        }
        if not connector:
            row["associated_company_ids"] = deal.account
        if not ui:
            row["archived"] = deal.deleted
        if language == "api":
            row["hs_merged_object_ids"] = "110" if deal.id == "103" else None
        return {key.get(name, prefix + name): cell for name, cell in row.items()}

    files = {
        "deals": labelled([deal_row(deal) for deal in deals], HUBSPOT_DEALS, language),
        "companies": labelled(
            [
                {
                    ("id" if connector else "hs_object_id"): number,
                    prefix + "name": name,
                    **({"owner_name": "Ann Adler"} if ui else {prefix + "hubspot_owner_id": "11"}),
                    prefix + "createdate": when(at("2024-01-01T12:00")),
                }
                for number, name in ACCOUNTS.items()
            ],
            HUBSPOT_COMPANIES,
            language,
        ),
        "owners": [
            {
                ("owner_id" if connector else "id"): number,
                ("first_name" if connector else "firstName"): name.split()[0],
                ("last_name" if connector else "lastName"): name.split()[1],
                "email": f"{number}@example.com",
            }
            for number, name in USERS.items()
        ],
        "deal_pipelines": [{"pipeline_id": number, "label": name} for number, name in PIPELINES.items()],
        "deal_pipeline_stages": [
            {
                "stage_id": stage,
                "pipeline_id": pipeline,
                "label": {"won": "Closed won", "lost": "Closed lost"}.get(name, name),
                "display_order": order,
                "is_closed": name in ("won", "lost"),
                "closed_won": name == "won",
                "probability": Decimal({"won": 100, "lost": 0, **CHANCES}[name]) / 100,
            }
            for pipeline, stages in HUBSPOT_STAGES.items()
            for order, (name, stage) in enumerate(stages.items())
        ],
        "deal_property_history": [row for deal in deals for row in _hubspot_history(deal, connector)],
        **_hubspot_activities(language, when, prefix),
        "contacts": labelled(
            [
                {
                    ("id" if connector else "hs_object_id"): number,
                    prefix + "createdate": when(created),
                    prefix + "lifecyclestage": stage,
                    **({"owner_name": USERS[who]} if ui else {prefix + "hubspot_owner_id": who}),
                    prefix + "hs_analytics_source": source,
                }
                for (number, created, who, source), stage in zip(
                    [*LEADS, ("33", at("2025-01-01T10:00"), "11", "News")],
                    ("lead", "salesqualifiedlead", "subscriber"),
                    strict=True,
                )
            ],
            HUBSPOT_CONTACTS,
            language,
        ),
    }
    if connector:
        files["deal_company"] = [
            {"deal_id": deal.id, "company_id": deal.account, "type_id": "5"} for deal in deals
        ]
        files["merged_deal"] = [{"deal_id": "103", "merged_deal_id": "110"}]
    return files


def _hubspot_history(deal: Deal, connector: bool) -> list[dict]:
    """Every value a property of a deal had, its first one too."""
    then = deal.then(at("2000-01-01"))
    property_of = {"amount": "amount", "expected": "closedate", "owner": "hubspot_owner_id"}
    told = []

    def tell(when: datetime, name: str, value) -> None:
        value = None if value is None else milliseconds(value) if name == "closedate" else str(value)
        stamp = clock(when) if connector else utc(when)
        told.append({"deal_id": deal.id, "name": name, "value": value, "timestamp": stamp, "source": "CRM_UI"})

    def stage() -> str:
        return HUBSPOT_STAGES[deal.pipeline][shown(then["stage"], then["end"])]

    tell(deal.created, "dealstage", stage())
    for what, name in property_of.items():
        tell(deal.created, name, then[what])
    tell(deal.created, "description", "private")
    for when, what, _, new in deal.changes:
        then[what] = new
        tell(when, property_of.get(what, "dealstage"), stage() if what in ("stage", "end") else new)
        if what == "end" and new:
            tell(when, "closedate", when)
    return told


def _hubspot_activities(language: str, when, prefix: str) -> dict[str, list[dict]]:
    ui, connector = language in UI, language == "connector"

    def row(one: Action) -> dict:
        key = "engagement_id" if connector else "hs_object_id"
        out = {key: one.id, prefix + "hs_timestamp": when(one.start)}
        out |= {"owner_name": USERS[one.user]} if ui else {prefix + "hubspot_owner_id": one.user}
        if not connector:
            out["associated_deal_ids"] = one.deal
        if one.kind == "call":
            spent = int(one.lasted.total_seconds() * 1000)
            out[prefix + "hs_call_direction"] = "OUTBOUND"
            out["Call duration (ms)" if ui else prefix + "hs_call_duration"] = spent
        if one.kind == "meeting":
            out[prefix + "hs_meeting_start_time"] = when(one.start)
            out[prefix + "hs_meeting_end_time"] = when(one.start + one.lasted)
        if one.kind == "task":
            out[prefix + "hs_task_status"] = "COMPLETED" if one.done else "NOT_STARTED"
        return out

    files = {
        f"{kind}s": labelled([row(one) for one in ACTIONS if one.kind == kind], HUBSPOT_CALLS, language)
        for kind in ("call", "meeting", "task")
    }
    if connector:
        files = {f"engagement_{name[:-1]}": rows for name, rows in files.items()}
        files["engagement_deal"] = [{"engagement_id": one.id, "deal_id": one.deal} for one in ACTIONS]
    return files


PIPEDRIVE_STAGES = {
    "1": {"Qualified": "1", "Proposal": "2", "Negotiation": "3"},
    "2": {"Review": "4", "Offer": "5"},
}
PIPEDRIVE_DEALS = {
    "id": ("Deal - ID", "Deal - ID", "Deal - ID", "Affaire - ID", "Negocio - ID", "Obchod - ID"),
    "title": ("Deal - Title", "Deal - Titel", "Deal - Titel", "Affaire - Titre", "Negocio - Título", "Obchod - Název"),
    "org_name": ("Deal - Organization", "Deal - Organisation", "Deal - Organisatie", "Affaire - Organisation", "Negocio - Organización", "Obchod - Organizace"),
    "owner_name": ("Deal - Owner", "Deal - Besitzer", "Deal - Eigenaar", "Affaire - Propriétaire", "Negocio - Propietario", "Obchod - Vlastník"),
    "value": ("Deal - Value", "Deal - Wert", "Deal - Waarde", "Affaire - Valeur", "Negocio - Valor", "Obchod - Hodnota"),
    "currency": ("Deal - Currency of value", "Deal - Währung", "Deal - Valuta", "Affaire - Devise", "Negocio - Moneda", "Obchod - Měna hodnoty"),
    "stage_name": ("Deal - Stage", "Deal - Phase", "Deal - Fase", "Affaire - Étape", "Negocio - Etapa", "Obchod - Fáze"),
    "pipeline_name": ("Deal - Pipeline", "Deal - Pipeline", "Deal - Pipeline", "Affaire - Pipeline", "Negocio - Embudo", "Obchod - Pipeline"),
    "status": ("Deal - Status", "Deal - Status", "Deal - Status", "Affaire - Statut", "Negocio - Estado", "Obchod - Stav"),
    "add_time": ("Deal - Deal created", "Deal - Deal erstellt", "Deal - Deal aangemaakt", "Affaire - Affaire créée", "Negocio - Negocio creado", "Obchod - Obchod vytvořen"),
    "won_time": ("Deal - Won time", "Deal - Datum des gewonnenen Deals", "Deal - Gewonnen op", "Affaire - Date de gain", "Negocio - Fecha de ganado", "Obchod - Datum výhry"),
    "lost_time": ("Deal - Lost time", "Deal - Datum des verlorenen Deals", "Deal - Verloren op", "Affaire - Date de perte", "Negocio - Fecha de perdido", "Obchod - Datum prohry"),
    "expected_close_date": ("Deal - Expected close date", "Deal - Erwartetes Abschlussdatum", "Deal - Verwachte sluitingsdatum", "Affaire - Date de clôture prévue", "Negocio - Fecha prevista de cierre", "Obchod - Očekávané datum uzavření"),
    "probability": ("Deal - Probability", "Deal - Wahrscheinlichkeit", "Deal - Waarschijnlijkheid", "Affaire - Probabilité", "Negocio - Probabilidad", "Obchod - Pravděpodobnost"),
    "lost_reason": ("Deal - Lost reason", "Deal - Verlustgrund", "Deal - Reden verlies", "Affaire - Raison de la perte", "Negocio - Motivo de pérdida", "Obchod - Důvod prohry"),
}  # fmt: skip
PIPEDRIVE_ORGANIZATIONS = {
    "id": ("Organization - ID", "Organisation - ID", "Organisatie - ID", "Organisation - ID", "Organización - ID", "Organizace - ID"),
    "name": ("Organization - Name", "Organisation - Name", "Organisatie - Naam", "Organisation - Nom", "Organización - Nombre", "Organizace - Název"),
    "owner_name": ("Organization - Owner", "Organisation - Besitzer", "Organisatie - Eigenaar", "Organisation - Propriétaire", "Organización - Propietario", "Organizace - Vlastník"),
}  # fmt: skip
PIPEDRIVE_ACTIVITIES = {
    "id": ("Activity - ID", "Aktivität - ID", "Activiteit - ID", "Activité - ID", "Actividad - ID", "Aktivita - ID"),
    "type": ("Activity - Type", "Aktivität - Typ", "Activiteit - Type", "Activité - Type", "Actividad - Tipo", "Aktivita - Typ"),
    "done": ("Activity - Done", "Aktivität - Erledigt", "Activiteit - Gedaan", "Activité - Fait", "Actividad - Hecho", "Aktivita - Hotovo"),
    "due_date": ("Activity - Due date", "Aktivität - Fälligkeitsdatum", "Activiteit - Vervaldatum", "Activité - Date d'échéance", "Actividad - Fecha de vencimiento", "Aktivita - Termín"),
    "due_time": ("Activity - Due time", "Aktivität - Fälligkeitszeit", "Activiteit - Vervaltijd", "Activité - Heure d'échéance", "Actividad - Hora de vencimiento", "Aktivita - Čas"),
    "duration": ("Activity - Duration", "Aktivität - Dauer", "Activiteit - Duur", "Activité - Durée", "Actividad - Duración", "Aktivita - Doba trvání"),
    "user_name": ("Activity - Assigned to user", "Aktivität - Zugewiesen an Benutzer", "Activiteit - Toegewezen aan gebruiker", "Activité - Attribué à l'utilisateur", "Actividad - Asignado a usuario", "Aktivita - Přiřazeno uživateli"),
    "deal_title": ("Activity - Deal", "Aktivität - Deal", "Activiteit - Deal", "Activité - Affaire", "Actividad - Negocio", "Aktivita - Obchod"),
}  # fmt: skip
PIPEDRIVE_LEADS = {
    "id": ("Lead - ID", "Lead - ID", "Lead - ID", "Prospect - ID", "Prospecto - ID", "Lead - ID"),
    "add_time": ("Lead - Lead created", "Lead - Lead erstellt", "Lead - Lead aangemaakt", "Prospect - Prospect créé", "Prospecto - Prospecto creado", "Lead - Lead vytvořen"),
    "owner_name": ("Lead - Owner", "Lead - Besitzer", "Lead - Eigenaar", "Prospect - Propriétaire", "Prospecto - Propietario", "Lead - Vlastník"),
    "source_name": ("Lead - Source", "Lead - Quelle", "Lead - Bron", "Prospect - Source", "Prospecto - Fuente", "Lead - Zdroj"),
}  # fmt: skip
PIPEDRIVE_WORDS = {
    "open": ("Open", "Offen", "Open", "Ouvert", "Abierto", "Otevřeno"),
    "won": ("Won", "Gewonnen", "Gewonnen", "Gagné", "Ganado", "Vyhráno"),
    "lost": ("Lost", "Verloren", "Verloren", "Perdu", "Perdido", "Prohráno"),
    "deleted": ("Deleted", "Gelöscht", "Verwijderd", "Supprimé", "Eliminado", "Smazáno"),
    "call": ("Call", "Anruf", "Bellen", "Appel", "Llamada", "Hovor"),
    "meeting": ("Meeting", "Meeting", "Vergadering", "Réunion", "Reunión", "Schůzka"),
    "task": ("Task", "Aufgabe", "Taak", "Tâche", "Tarea", "Úkol"),
    "done": ("Done", "Erledigt", "Gedaan", "Fait", "Hecho", "Hotovo"),
    "to do": ("To do", "Zu erledigen", "Te doen", "À faire", "Por hacer", "Naplánováno"),
}


def _pipedrive(language: str) -> dict[str, list[dict]]:
    ui = language in UI
    when = local if ui else clock

    def word(key: str) -> str:
        return PIPEDRIVE_WORDS[key][UI.index(language)] if ui else key

    def named(key: str, number: str, names: dict[str, str]) -> dict:
        return {f"{key}_name": names[number]} if ui else {f"{key}_id": number}

    def deal_row(deal: Deal) -> dict:
        status = "deleted" if deal.deleted else deal.status
        return {
            "id": deal.id,
            "title": deal.name,
            **named("org", deal.account, ACCOUNTS),
            **named("owner", deal.owner, USERS),
            "value": deal.number,
            "currency": deal.currency,
            **({"stage_name": deal.stage} if ui else {"stage_id": PIPEDRIVE_STAGES[deal.pipeline][deal.stage]}),
            **named("pipeline", deal.pipeline, PIPELINES),
            "status": word(status),
            "add_time": when(deal.created),
            "won_time": when(deal.closed) if deal.status == "won" else None,
            "lost_time": when(deal.closed) if deal.status == "lost" else None,
            "expected_close_date": deal.expected,
            "probability": CHANCES[deal.stage] if deal.status == "open" else None,
            "lost_reason": deal.reason,
        }

    def action_row(one: Action) -> dict:
        start = local(one.start) if ui else one.start
        minutes = int(one.lasted.total_seconds() // 60)
        return {
            "id": one.id,
            "type": word(one.kind),
            "done": word("done" if one.done else "to do") if ui else one.done,
            "due_date": start.date(),
            "due_time": f"{start:%H:%M}",
            "duration": f"{minutes // 60:02}:{minutes % 60:02}",
            **({"user_name": USERS[one.user]} if ui else {"user_id": one.user}),
            **({"deal_title": next(d.name for d in DEALS if d.id == one.deal)} if ui else {"deal_id": one.deal}),
            "Activity - Subject": "private",
        }

    field_key = {
        "stage": "stage_id",
        "amount": "value",
        "expected": "expected_close_date",
        "owner": "user_id",
        "end": "status",
    }
    flow = []
    for deal in DEALS:
        stage_id = PIPEDRIVE_STAGES[deal.pipeline]
        changes = [*deal.changes, *([(at("2025-04-20T10:00"), "end", None, "deleted")] if deal.deleted else [])]
        for moment, what, old, new in changes:
            old, new = (
                stage_id[v]
                if what == "stage"
                else (v or "open")
                if what == "end"
                else None
                if v is None
                else str(v)
                for v in (old, new)
            )
            flow.append({"object": "dealChange", "item_id": deal.id, "field_key": field_key[what], "old_value": old,
                         "new_value": new, "log_time": clock(moment), "user_id": "11", "is_bulk_update_flag": None})  # fmt: skip
    flow.append({**flow[0], "field_key": "label", "old_value": "1", "new_value": "2"})
    return {
        "deals": labelled([deal_row(deal) for deal in DEALS], PIPEDRIVE_DEALS, language),
        "organizations": labelled(
            [
                {"id": number, "name": name, **named("owner", "11", USERS)}
                for number, name in ACCOUNTS.items()
            ],
            PIPEDRIVE_ORGANIZATIONS,
            language,
        ),
        "users": [
            {"id": number, "name": name, "email": f"{number}@example.com", "active_flag": True}
            for number, name in USERS.items()
        ],
        "stages": [
            {"id": stage, "name": name, "order_nr": order, "pipeline_id": pipeline,
             "pipeline_name": PIPELINES[pipeline], "deal_probability": CHANCES[name]}
            for pipeline, stages in PIPEDRIVE_STAGES.items()
            for order, (name, stage) in enumerate(stages.items(), start=1)
        ],
        "dealflow": flow,
        "activities": labelled([action_row(one) for one in ACTIONS], PIPEDRIVE_ACTIVITIES, language),
        "leads": labelled(
            [
                {"id": number, "add_time": local(moment) if ui else utc(moment), **named("owner", who, USERS), "source_name": source}
                for number, moment, who, source in LEADS
            ],
            PIPEDRIVE_LEADS,
            language,
        ),
    }  # fmt: skip


DYNAMICS_DEALS = {
    "opportunityid": ("(Do Not Modify) Opportunity", "(Nicht ändern) Verkaufschance"),
    "checksum": ("(Do Not Modify) Row Checksum", "(Nicht ändern) Zeilenprüfsumme"),
    "modifiedon": ("(Do Not Modify) Modified On", "(Nicht ändern) Geändert am"),
    "name": ("Topic", "Thema"),
    "account_name": ("Account", "Firma"),
    "owner_name": ("Owner", "Besitzer"),
    "estimatedvalue": ("Est. Revenue", "Gesch. Umsatz"),
    "actualvalue": ("Actual Revenue", "Tatsächlicher Umsatz"),
    "currency_name": ("Currency", "Währung"),
    "createdon": ("Created On", "Erstellt am"),
    "estimatedclosedate": ("Est. Close Date", "Gesch. Abschlussdatum"),
    "actualclosedate": ("Actual Close Date", "Tatsächliches Abschlussdatum"),
    "statecode": ("Status", "Status"),
    "statuscode": ("Status Reason", "Statusgrund"),
    "msdyn_forecastcategory": ("Forecast category", "Prognosekategorie"),
    "closeprobability": ("Probability", "Wahrscheinlichkeit"),
}
DYNAMICS_ACCOUNTS = {"accountid": ("(Do Not Modify) Account", "(Nicht ändern) Firma"), "name": ("Account Name", "Firmenname"), "owner_name": ("Owner", "Besitzer")}  # fmt: skip
DYNAMICS_WORDS = {
    "open": ("Open", "Offen"),
    "won": ("Won", "Gewonnen"),
    "lost": ("Lost", "Verloren"),
    "commit": ("Committed", "Zugesagt"),
    "best_case": ("Best case", "Bester Fall"),
}
DYNAMICS_CODES = {"open": 0, "won": 1, "lost": 2, "commit": 100000003, "best_case": 100000002}


def _dynamics(language: str) -> dict[str, list[dict]]:
    ui = language in UI
    when = local if ui else utc
    deals = present("dynamics", language)

    def word(key: str | None):
        if key is None:
            return None
        return DYNAMICS_WORDS[key][UI.index(language)] if ui else DYNAMICS_CODES[key]

    def guid(number: str) -> str:
        return f"00000000-0000-0000-0000-{int(number):012d}"

    def stage_id(pipeline: str, name: str) -> str:
        return guid(f"8{pipeline}{STAGES[pipeline].index(name)}")

    def reference(key: str, number: str, names: dict[str, str], column: str) -> dict:
        return {f"{key}_name": names[number]} if ui else {column: guid(number)}

    def deal_row(deal: Deal) -> dict:
        estimate = deal.then(deal.closed - timedelta(seconds=1))["amount"] if deal.closed else deal.amount
        estimate = None if estimate is None else Decimal(estimate)
        return {
            "opportunityid": guid(deal.id),
            **({"checksum": "x/y==", "modifiedon": local(at("2025-04-29T10:00"))} if ui else {}),
            "name": deal.name,
            **reference("account", deal.account, ACCOUNTS, "parentaccountid"),
            **reference("owner", deal.owner, USERS, "ownerid"),
            "processid": guid("7" + deal.pipeline),
            "stageid": stage_id(deal.pipeline, deal.stage),
            "estimatedvalue": estimate,
            "actualvalue": deal.number if deal.status == "won" else Decimal("0.00") if deal.status == "lost" else None,
            **({"currency_name": {"EUR": "Euro", "USD": "US Dollar"}[deal.currency]} if ui
               else {"transactioncurrencyid": guid("5" if deal.currency == "EUR" else "6")}),
            "createdon": when(deal.created),
            "estimatedclosedate": deal.expected,
            "actualclosedate": day_of(deal.closed),
            "statecode": word(deal.status),
            "statuscode": deal.reason,
            "msdyn_forecastcategory": word(deal.category),
            "closeprobability": CHANCES[deal.stage] if deal.status == "open" else None,
        }  # fmt: skip

    attribute = {
        "stage": "stageid",
        "amount": "estimatedvalue",
        "expected": "estimatedclosedate",
        "owner": "ownerid",
        "end": "statecode",
    }
    audit = []
    for deal in deals:
        for moment, what, old, new in deal.changes:
            name = "actualvalue" if what == "amount" and moment == deal.closed else attribute[what]
            old = None if name == "actualvalue" else old
            cells = [
                stage_id(deal.pipeline, v) if what == "stage" else guid(v) if what == "owner"
                else str(DYNAMICS_CODES[v or "open"]) if what == "end" else None if v is None else str(v)
                for v in (old, new)
            ]  # fmt: skip
            audit.append({"objectid": guid(deal.id), "objecttypecode": "opportunity", "attribute": name,
                          "oldvalue": cells[0], "newvalue": cells[1], "createdon": utc(moment), "userid": guid("11")})  # fmt: skip
        if deal.status == "lost":
            audit.append({**audit[-1], "attribute": "actualvalue", "oldvalue": None, "newvalue": "0.00"})

    def action_row(one: Action) -> dict:
        timed = ("actualstart", "actualend") if one.kind == "call" else ("scheduledstart", "scheduledend")
        return {
            "activityid": guid(one.id),
            timed[0]: utc(one.start),
            timed[1]: utc(one.start + one.lasted),
            **({"actualdurationminutes": int(one.lasted.total_seconds() // 60), "directioncode": True} if one.kind == "call" else {}),
            "ownerid": guid(one.user),
            "regardingobjectid": guid(one.deal),
            "regardingobjecttypecode": "opportunity",
            "statecode": 1,
            "createdon": utc(one.start),
        }  # fmt: skip

    return {
        "opportunities": labelled([deal_row(deal) for deal in deals], DYNAMICS_DEALS, language),
        "accounts": labelled(
            [{"accountid": guid(number), "name": name, **reference("owner", "11", USERS, "ownerid")}
             for number, name in ACCOUNTS.items()], DYNAMICS_ACCOUNTS, language),
        "systemusers": [{"systemuserid": guid(number), "fullname": name, "isdisabled": False} for number, name in USERS.items()],
        "processstages": [
            {"processstageid": stage_id(pipeline, name), "stagename": name, "stagecategory": order, "processid": guid("7" + pipeline)}
            for pipeline, stages in STAGES.items() for order, name in enumerate(stages)],
        "transactioncurrencies": [
            {"transactioncurrencyid": guid("5"), "isocurrencycode": "EUR", "currencyname": "Euro"},
            {"transactioncurrencyid": guid("6"), "isocurrencycode": "USD", "currencyname": "US Dollar"}],
        "audit": audit,
        "phonecalls": [action_row(one) for one in ACTIONS if one.kind == "call"],
        "appointments": [action_row(one) for one in ACTIONS if one.kind == "meeting"],
        "leads": [{"leadid": guid(number), "createdon": utc(moment), "ownerid": guid(who), "leadsourcecode": source,
                   "statecode": 0} for number, moment, who, source in LEADS],
        "goals": [{"goalownerid": guid("11"), "goalstartdate": date(2025, 1, 1), "goalenddate": date(2025, 3, 31),
                   "targetmoney": Decimal("100000.00"), "createdon": utc(at("2024-12-15T10:00"))}],
    }  # fmt: skip


def exports(crm: str, language: str = "api") -> dict[str, list[dict]]:
    """The files of an export: rows with typed cells, by file name without suffix."""
    return {"hubspot": _hubspot, "pipedrive": _pipedrive, "dynamics": _dynamics}[crm](language)


def write(folder: Path, files: dict[str, list[dict]], form: str) -> Path:
    """Write the files of an export in one form, into a folder that carries its day."""
    folder = folder / "export_2025-04-30"
    folder.mkdir(parents=True)
    for name, rows in files.items():
        frame = pd.DataFrame(rows, dtype=object)
        if form in ("csv", "semicolon"):
            _write_text(folder / f"{name}.csv", rows, form)
        elif form == "xlsx":
            book = openpyxl.Workbook()
            book.active.append(list(frame.columns))
            for row in frame.itertuples(index=False):
                book.active.append([float(cell) if isinstance(cell, Decimal) else cell for cell in row])
            book.save(folder / f"{name}.xlsx")
        else:
            frame.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def _write_text(path: Path, rows: list[dict], form: str) -> None:
    comma = form == "semicolon"

    def text(cell) -> str:
        if cell is None:
            return ""
        if isinstance(cell, bool):
            return str(cell).upper() if comma else str(cell).lower()
        if isinstance(cell, Decimal):
            return str(cell).replace(".", ",") if comma else str(cell)
        if isinstance(cell, datetime):
            return cell.strftime("%d.%m.%Y %H:%M" if comma else "%Y-%m-%d %H:%M")
        if isinstance(cell, date):
            return cell.strftime("%d.%m.%Y" if comma else "%Y-%m-%d")
        return str(cell)

    with path.open("w", encoding="utf-8-sig" if comma else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";" if comma else ",")
        writer.writerow(rows[0])
        writer.writerows([text(cell) for cell in row.values()] for row in rows)
