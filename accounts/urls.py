"""Addresses of the pages about accounts."""

from __future__ import annotations

from django.urls import path

from accounts.views import audit, own_sessions, people, profile, session

urlpatterns = [
    path("sign-in/", session.sign_in, name="sign-in"),
    path("sign-out/", session.sign_out, name="sign-out"),
    # The names by which django-allauth finds them.
    path("sign-in/", session.sign_in, name="account_login"),
    path("sign-out/", session.sign_out, name="account_logout"),
    path("profile/password/", session.change_password, name="account_change_password"),
    path("profile/", profile.profile, name="profile"),
    path("profile/theme/", profile.theme, name="theme"),
    path("profile/password/", session.change_password, name="password"),
    path("profile/tokens/<int:pk>/revoke/", profile.revoke, name="token-revoke"),
    path("profile/sessions/", own_sessions.sessions, name="sessions"),
    path("profile/sessions/end/", own_sessions.end_others, name="sessions-end"),
    path("profile/sessions/browser/<int:pk>/end/", own_sessions.end_browser, name="session-end"),
    path("profile/sessions/api/<int:pk>/end/", own_sessions.end_api, name="api-session-end"),
    path("users/", people.users, name="users"),
    path("users/create/", people.create_user, name="user-create"),
    path("users/<int:pk>/", people.edit_user, name="user-edit"),
    path("users/<int:pk>/switch/", people.switch_user, name="user-switch"),
    path("users/<int:pk>/password/", people.reset_password, name="user-password"),
    path("roles/", people.roles, name="roles"),
    path("roles/create/", people.edit_role, name="role-create"),
    path("roles/<int:pk>/", people.edit_role, name="role-edit"),
    path("roles/<int:pk>/delete/", people.delete_role, name="role-delete"),
    path("audit-log/", audit.events, name="audit-log"),
    path("audit-log/export.<str:form>", audit.export, name="audit-export"),
]
